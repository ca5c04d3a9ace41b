"""Rows of a simulated shop in the real engine, as a sink would have stored them, for the pages to show."""

import json
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from model.simulator import EventWithTruth, SimulationSettings, simulate
from tests.harness.records import recommendation_fields

TOPIC: Final = "shop.events"
PARTITIONS: Final = 4
MINUTE_MS: Final = 60_000
SCORED_FROM_MS: Final = int(time.time() // 60 - 60) * MINUTE_MS
"""When the first event was scored, an hour before now; they are scored for an hour, whenever they happened."""

Score = dict[str, Any]


def scores(events: int = 20_000, users: int = 800, seed: int = 3) -> Iterator[Score]:
    """Yield one score an event. Two models: the first half by `oracle-1` (the true propensities), then `steep-2`."""
    offsets: dict[int, int] = defaultdict(int)
    seen: set[str] = set()
    settings = SimulationSettings(events=events, users=users, seed=seed, with_truth=True)
    for number, event in enumerate(simulate(settings)):
        partition = zlib.crc32(event.user_id.encode()) % PARTITIONS
        offset = offsets[partition]
        offsets[partition] += 1
        if event.event_id not in seen:  # a repeated event has an offset, but no score
            seen.add(event.event_id)
            yield _score(event, number, events, partition, offset)


def plain_scores(events: int = 500) -> Iterator[Score]:
    """Yield scores of one shopper who looks around once a minute: quickly made."""
    for number in range(events):
        event = EventWithTruth(
            event_id=f"plain-{number}",
            user_id=f"shopper-{number % 20}",
            type=("view", "cart", "purchase")[number % 3],
            ts=1_767_571_200_000 + number * MINUTE_MS,
            true_session=0.1,
            true_1h=0.1,
            true_24h=0.2,
        )
        yield _score(event, number, events, 0, number)


def _score(event: EventWithTruth, number: int, events: int, partition: int, offset: int) -> Score:
    happened_ms = SCORED_FROM_MS + 60 * MINUTE_MS * number // events
    steep = number >= events // 2
    truths = (event.true_session, event.true_1h, event.true_24h)
    return {
        "user_id": event.user_id,
        "event_id": event.event_id,
        "event_type": event.type,
        "item_id": event.item_id or "",
        "category": event.category or "",
        "channel": (event.context or {}).get("channel", ""),
        "price": event.price,
        "event_time": event.ts,
        **{
            f"propensity_{horizon}": _steepened(truth) if steep else truth
            for horizon, truth in zip(("session", "1h", "24h"), truths, strict=True)
        },
        "model": "steep-2" if steep else "oracle-1",
        "source_topic": TOPIC,
        "source_partition": partition,
        "source_offset": offset,
        "source_timestamp": happened_ms,
        "scored_at": happened_ms + 20 + number % 50,
        "stored_at": f"{(happened_ms + 300 + number % 400) / 1000:.3f}",
    }


def impressions(rows: Iterable[Score]) -> Iterator[Score]:
    """Yield lists of twelve items, one before every third view of one: the first places are viewed more often."""
    rows = list(rows)
    items = sorted({row["item_id"] for row in rows} - {""})
    views = [row for row in rows if row["event_type"] == "view" and row["item_id"]]
    for number, row in enumerate(views[::3]):
        random = Random(number)
        shown = random.sample(items, 12)
        better = number % 2
        if random.random() < 0.3 + 0.3 * better:
            place = min(int(random.expovariate(0.5)), 11)
            shown = [item for item in shown if item != row["item_id"]][:11]
            shown.insert(place, row["item_id"])
        yield {
            **row,
            "event_id": f"shown-{number}",
            "event_type": "impression",
            "item_id": "",
            "category": "",
            "price": None,
            "event_time": row["event_time"] - 60_000,
            "propensity_session": None,
            "propensity_1h": None,
            "propensity_24h": None,
            "shown": shown,
            "shown_by": ("popular", "lstm64-items")[better],
            "placement": random.choice(["home", "product", ""]),
            "source_offset": row["source_offset"] + 10_000_000,
        }


def _steepened(truth: float) -> float:
    """Exaggerate: what a model that was trained too long says."""
    odds = (truth / (1 - truth + 1e-9)) ** 1.4 * 1.3
    return odds / (1 + odds)


def recommendations(rows: Iterable[Score]) -> Iterator[Score]:
    """Yield what was recommended at each cart of the shop, each twice: the view leaves repeats out."""
    for row in rows:
        if row["event_type"] == "cart":
            own = {"event_id": row["event_id"], "user_id": row["user_id"], "event_time": row["event_time"]}
            fields = recommendation_fields(row["source_partition"], row["source_offset"], source_topic=TOPIC, **own)
            yield from (fields, fields)


def insert(client: Client, table: str, rows: Iterable[Score]) -> int:
    """Insert in one block; returns how many rows."""
    lines = [json.dumps(row).encode() for row in rows]
    client.raw_insert(table, insert_block=b"\n".join(lines), fmt="JSONEachRow")
    return len(lines)


def dead_letters(rows: Iterable[Score], count: int = 60) -> list[Score]:
    """Some refused records of three kinds, whose offsets follow those of the scores."""
    last: dict[int, int] = defaultdict(lambda: -1)
    for row in rows:
        last[row["source_partition"]] = max(last[row["source_partition"]], row["source_offset"])
    kinds = [
        ("json", "byte 17: not a JSON object"),
        ("ts", "ts is outside 2000..2100"),
        ("key", "the record's key is not the event's user_id"),
    ]
    return [
        {
            "source_topic": TOPIC,
            "source_partition": number % PARTITIONS,
            "source_offset": last[number % PARTITIONS] + 1 + number // PARTITIONS,
            "reason": kinds[number % 5 % 3][0],
            "error": kinds[number % 5 % 3][1],
            "value_bytes": 100 + number,
            "dead_at": f"{(SCORED_FROM_MS + number * MINUTE_MS) / 1000:.3f}",
            "letter_partition": number % PARTITIONS,
            "letter_offset": number,
        }
        for number in range(count)
    ]


def lags() -> Iterator[Score]:
    """Yield an hour of samples, one a minute, in which the workers fall behind for a while."""
    for minute in range(60):
        for group, topic in (("shop", TOPIC), ("shop-sink", "shop.scores")):
            for partition in range(PARTITIONS):
                lag = max(0, 400 - 40 * abs(minute - 30)) if group == "shop" else 10 + minute % 7
                yield {
                    "at": f"{(SCORED_FROM_MS + minute * MINUTE_MS) / 1000:.3f}",
                    "consumer_group": group,
                    "topic": topic,
                    "partition": partition,
                    "committed": minute * 100 - lag,
                    "end_offset": minute * 100,
                    "lag": lag,
                }
