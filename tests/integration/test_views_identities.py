"""Which anonymous ids are whose, compared with plain Python over the same rows."""

import random

import pytest

from dashboard.clickhouse import Database
from dashboard.queries import shoppers
from dashboard.queries.range import Range, stored_span
from tests.harness.people import joined_by_time
from tests.harness.stored_scores import START_MS, Row, Stored, impression, random_rows

pytestmark = pytest.mark.integration

MINUTE_MS = 60_000


@pytest.fixture
def stored(database) -> Stored:
    return Stored(database)


def row(number: int, user: str, minute: float, anonymous: str = "") -> Row:
    event, time_ms = random_rows(number, 1, first=number)[0], START_MS + int(minute * MINUTE_MS)
    named = {"anonymous_id": anonymous} if anonymous else {}
    return event | {"user_id": user, "event_time": time_ms, "scored_at": time_ms + 5} | named


def found(stored: Stored) -> dict[tuple[str, str], tuple[int, int]]:
    rows = stored.query("SELECT anonymous_id, user_id, joined_events, joined_sessions FROM identities")
    return {(one["anonymous_id"], one["user_id"]): (one["joined_events"], one["joined_sessions"]) for one in rows}


def expected(rows: list[Row]) -> dict[tuple[str, str], tuple[int, int]]:
    return joined_by_time((one["event_time"], one["user_id"], one.get("anonymous_id", "")) for one in rows)


def test_what_was_done_before_a_login_is_the_users_and_a_shared_device_begins_afresh(stored):
    stored.add([
        row(0, "a", 0), row(1, "a", 5), row(2, "ann", 10, "a"), row(3, "ann", 11, "a"),
        row(4, "a", 100), row(5, "bob", 140, "a"), row(6, "a", 200), impression(7, ["i1"], 1, "a"),
    ])  # fmt: skip
    assert found(stored) == {("a", "ann"): (2, 1), ("a", "bob"): (1, 0)}


def test_a_pair_without_an_anonymous_event_is_there_too(stored):
    stored.add([row(0, "ann", 10, "a")])
    (pair,) = stored.query("SELECT * FROM identities")
    assert (pair["joined_events"], pair["joined_sessions"], pair["latest_joined_at"].year) == (0, 0, 1970)


def test_any_log_ins_are_those_of_plain_python(stored):
    draw, rows = random.Random(3), []
    for number, minute in enumerate(sorted(draw.sample(range(20_000), 600))):
        person, device = f"u{draw.randrange(6)}", f"a{draw.randrange(5)}"
        rows.append(row(number, device, minute) if draw.random() < 0.6 else row(number, person, minute, device))
    stored.add(rows)
    assert found(stored) == expected(rows)


def test_pages_show_one_person(stored):
    stored.add([
        row(0, "a", 0), row(1, "a", 5), row(2, "ann", 10, "a"), row(3, "ann", 11),
        row(4, "a", 100), row(5, "bob", 140, "a"), row(6, "kiosk", 200, "b"), row(7, "b", 201),
    ])  # fmt: skip
    asks = Database(stored.settings)
    ids = {one["user_id"] for one in stored.query("SELECT user_id FROM latest_scores")}
    assert ids == {"ann", "bob", "kiosk", "b"}
    timelines = {
        user: [(one["event_id"], one["anonymous_id"]) for one in shoppers.timeline(asks, user)]
        for user in ("ann", "bob", "b")
    }
    assert timelines == {
        "ann": [("e0", "a"), ("e1", "a"), ("e2", ""), ("e3", "")],
        "bob": [("e4", "a"), ("e5", "")],
        "b": [("e7", "")],
    }
    stored.add([row(8, "somebody", 10_000)])  # so that the range goes on
    span = stored_span(asks)
    assert span is not None
    found = shoppers.joined(asks, Range.covering(span.first, span.last))
    assert found == {"users": 2, "ids": 1, "events": 3, "sessions": 1}
