"""Events read back from the real engine's table, as training and offline scoring take them, and training from it."""

import json
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from cartcast.commands.shared.history_source import history_source
from model.checkpoint import load_checkpoint
from model.core.byte_strings import ByteStrings
from model.core.decode import decode_events
from model.events import Event, Score
from model.simulator import SimulationSettings, simulate
from model.training.history import read_history
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from service.errors import FormatError, RefusedError, UnavailableError
from sinks.stored import Period, StoredHistory, latest_scores
from sinks.table import ClickHouseTable
from streams.fetch import Fetch
from streams.messages import score_records
from tests.harness.command import run_command
from tests.harness.records import score_fields

pytestmark = pytest.mark.integration

START_MS = 1_700_000_000_000


def score(offset: int, **changes: Any) -> Score:
    about: dict[str, Any] = {"item_id": "i", "category": "c", "price": 9.5, "channel": None}
    times = {
        "event_time": START_MS + offset,
        "source_timestamp": START_MS + offset,
        "scored_at": START_MS + 1000 + offset,
    }
    return Score(**(score_fields(0, offset) | {"event_id": f"e{offset}"} | about | times | changes))


@pytest.fixture
def settings(database: ClickHouseSettings) -> ClickHouseSettings:
    return database


def store(settings: ClickHouseSettings, *blocks: list[Score]) -> None:
    table = ClickHouseTable(settings)
    for number, block in enumerate(blocks):
        table.insert([msgspec.json.encode(one) for one in block], f"block-{number}")
    table.close()


def read(settings: ClickHouseSettings, **period: int) -> list[Event]:
    return list(StoredHistory(settings, Period(**period)).events())


def test_impressions_are_not_read_back(settings):
    nothing = dict.fromkeys(("propensity_session", "propensity_1h", "propensity_24h"))
    shown = score(1, event_type="impression", shown=["a"], **nothing)
    store(settings, [score(0), shown, score(2)])
    assert [event.event_id for event in read(settings)] == ["e0", "e2"]
    assert StoredHistory(settings, Period()).count() == 2
    latest = latest_scores(settings, "u")
    assert ([one.event.event_id for one in latest.scores], latest.count) == (["e0", "e2"], 2)


def test_an_event_comes_back_as_the_score_knows_it(settings):
    bare = score(2, item_id=None, category=None, price=None, event_type="purchase")
    full = score(3, event_type="review", quantity=2.0, rating=4.0, text="good soles", channel="email")
    store(settings, [score(1), bare, full])
    about: dict[str, Any] = {"item_id": "i", "category": "c", "price": 9.5}
    said: dict[str, Any] = {"quantity": 2.0, "rating": 4.0, "text": "good soles", "context": {"channel": "email"}}
    assert read(settings) == [
        Event("e1", "u", "view", START_MS + 1, **about),
        Event("e2", "u", "purchase", START_MS + 2),
        Event("e3", "u", "review", START_MS + 3, **about, **said),
    ]


def test_a_history_that_was_scored_and_stored_teaches_what_its_events_teach(settings):
    """As the worker writes it: events to bytes, bytes to scores, scores to rows, rows to events again."""
    simulated = simulate(SimulationSettings(events=3_000, users=60, seed=4))
    events = {event.event_id: event for event in map(with_more, range(3_000), simulated)}
    given = ByteStrings.of([msgspec.json.encode(event) for event in events.values()])
    keys = ByteStrings.of([event.user_id.encode() for event in events.values()])
    fetch = Fetch("events", 0, keys, given, np.arange(len(events)), np.full(len(events), START_MS))
    batch, _ = decode_events(given, keys)
    half = np.full((len(events), 3), 0.5, np.float32)
    records = score_records(fetch, batch, np.arange(len(events)), half, model="m", scored_at_ms=START_MS)
    table = ClickHouseTable(settings)
    table.insert([record.value or b"" for record in records], "all")
    table.close()

    stored = read(settings)
    history = read_history(stored)
    assert len(stored) == len(events)
    assert history.tokens.any(axis=0).all()
    assert history.digest() == read_history(events[event.event_id] for event in stored).digest()
    assert [each.quantity for each in stored] == [events[each.event_id].quantity for each in stored]


def with_more(number: int, event: Event) -> Event:
    """Return the event with more words, stars and units than simulated ones have."""
    said = {
        0: {"text": "naïve 日本 \n" + "word " * 900 + f"{number}"},
        1: {"rating": number % 6.0},
        2: {"quantity": 2.5},
    }
    return msgspec.structs.replace(event, **said.get(number % 7, {}))


def test_each_shoppers_events_come_in_the_order_in_which_they_were_scored(settings):
    """Late events have an earlier time and a later offset; events scored at one moment are told apart by offset."""
    block = [score(offset, event_time=START_MS - offset, scored_at=START_MS) for offset in (3, 1, 2)]
    other = [score(offset, user_id="a", event_time=START_MS - offset, source_partition=1) for offset in (9, 8)]
    store(settings, block, other, [score(0, event_time=START_MS + 9, scored_at=START_MS + 1)])
    assert [(event.user_id, event.event_id) for event in read(settings)] == [
        ("a", "e8"), ("a", "e9"), ("u", "e1"), ("u", "e2"), ("u", "e3"), ("u", "e0"),
    ]  # fmt: skip


def test_a_topic_that_was_made_anew_does_not_mix_its_events_with_the_old_ones(settings):
    day_ms = 86_400_000
    again = [score(offset, event_id=f"f{offset}", scored_at=START_MS + day_ms) for offset in range(3)]
    store(settings, [score(offset) for offset in range(3)], again)
    assert [event.event_id for event in read(settings)] == ["e0", "e1", "e2", "f0", "f1", "f2"]


def test_a_period_begins_with_its_first_millisecond_and_ends_before_its_last(settings):
    store(settings, [score(offset) for offset in range(5)])
    period = {"since_ms": START_MS + 1, "until_ms": START_MS + 3}
    assert [event.event_id for event in read(settings, **period)] == ["e1", "e2"]
    assert StoredHistory(settings, Period(**period)).count() == 2


def test_events_arrive_block_by_block_and_a_reader_may_stop_early(settings):
    store(settings, *([score(block * 1000 + number) for number in range(1000)] for block in range(20)))
    events = StoredHistory(settings, Period()).events()
    assert [next(events).event_id for _ in range(3)] == ["e0", "e1", "e2"]
    events.close()
    assert len(read(settings)) == 20_000


def test_the_engine_sorts_one_shopper_at_a_time(settings):
    """Else the whole table would have to fit in memory, or on disk a second time, before the first event arrives."""
    store(settings, [score(number) for number in range(10)])
    client = connect(settings)
    plan = client.command("EXPLAIN " + StoredHistory(settings, Period()).query, parameters=Period().parameters)
    (prefix,) = re.findall(r"Prefix sort description: (.*)", str(plan).replace("__table1.", ""))
    assert prefix.endswith("user_id ASC")


def test_a_table_that_is_not_there_is_one_line_that_says_what_to_do(clickhouse):
    absent = ClickHouseSettings(url=clickhouse, database="nowhere")
    with pytest.raises(RefusedError, match="run `cartcast migrate`"):
        StoredHistory(absent, Period()).count()


def test_a_server_that_does_not_answer_is_one_line():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=f"cannot be read: ClickHouse at {url} does not answer"):
            list(StoredHistory(ClickHouseSettings(url=url), Period()).events())


def test_the_options_lead_to_the_table(settings, tmp_path):
    store(settings, [score(offset) for offset in range(5)])
    source = history_source(_config(tmp_path, settings), **_from_clickhouse(since_ms=START_MS + 2))
    done: list[float] = []
    assert [event.event_id for event in source.rows(done.append)] == ["e2", "e3", "e4"]
    assert done[-1] == source.total == 3


def test_a_period_without_events_is_one_line(settings, tmp_path):
    with pytest.raises(FormatError, match="holds no event of that time"):
        history_source(_config(tmp_path, settings), **_from_clickhouse())


def _config(directory: Path, settings: ClickHouseSettings) -> Path:
    path = directory / "cartcast.yaml"
    path.write_text(f"clickhouse:\n  url: {settings.url}\n  database: {settings.database}\n")
    return path


def _from_clickhouse(**changes: int) -> dict[str, Any]:
    return {
        "events": None, "format_name": None, "from_clickhouse": True, "since_ms": None, "until_ms": None,
        "strict": False,
    } | changes  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """The same history twice."""

    file: Path
    config: Path


@pytest.fixture
def shop(database: ClickHouseSettings, tmp_path: Path) -> Shop:
    events = list(
        {event.event_id: event for event in simulate(SimulationSettings(events=15_000, users=300, seed=4))}.values()
    )
    table = ClickHouseTable(database)
    table.insert([msgspec.json.encode(as_score(offset, event)) for offset, event in enumerate(events)], "all")
    table.close()
    file, config = tmp_path / "shop.jsonl", tmp_path / "cartcast.yaml"
    file.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    config.write_text(f"clickhouse:\n  url: {database.url}\n  database: {database.database}\n")
    return Shop(file, config)


def as_score(offset: int, event: Event) -> Score:
    about = (event.user_id, event.event_id, event.type, event.item_id, event.category, event.price, event.ts)
    scored_at = 1_800_000_000_000 + offset // 100
    named = {"quantity": event.quantity, "rating": event.rating, "text": event.text}
    more: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    return Score(*about, 0.5, 0.5, 0.5, "m", "events", 0, offset, scored_at, event.channel, scored_at, **more)


def trained(out: Path, *options: object) -> dict[str, Any]:
    size = ("--epochs", 1, "--hidden-size", 8, "--json")
    config, *options = options
    arguments = ["--config", config, "train", *options, "--out", out, *size]
    done = run_command(*arguments)
    assert done.status == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_table_and_a_file_give_the_same_history(shop, tmp_path):
    from_table = trained(tmp_path / "a", shop.config, "--from-clickhouse")
    from_file = trained(tmp_path / "b", shop.config, "--events", shop.file, "--format", "cartcast")
    for name in ("events", "users", "duplicates", "first_event", "validation_from", "test_from", "last_event"):
        assert from_table[name] == from_file[name], name
    for horizon, found in from_table["metrics"]["test"].items():
        expected = from_file["metrics"]["test"][horizon]
        assert (found["events"], found["base_rate"]) == (expected["events"], expected["base_rate"])
    assert load_checkpoint(tmp_path / "a").version == from_table["version"]


def test_a_period_is_a_part_of_the_history(shop, tmp_path):
    whole = [json.loads(line)["ts"] for line in shop.file.read_bytes().splitlines()]
    middle_ms = sorted(whole)[len(whole) // 4]
    found = trained(tmp_path / "a", shop.config, "--from-clickhouse", "--since", middle_ms)
    assert found["events"] == sum(ts >= middle_ms for ts in whole)


def test_a_history_with_identities_comes_in_the_order_of_scoring_so_that_they_are_followed(settings):
    before = [score(number, user_id="z-device") for number in range(3)]
    login = score(3, user_id="ann", event_type="other", anonymous_id="z-device")
    store(settings, [*before, login, score(4, user_id="ann")])
    events = read(settings)
    assert [event.event_id for event in events] == ["e0", "e1", "e2", "e3", "e4"]
    assert events[3].anonymous_id == "z-device"
    history = read_history(events)
    assert (history.user_ids, len(history), len(history.logins)) == (["ann"], 5, 1)
