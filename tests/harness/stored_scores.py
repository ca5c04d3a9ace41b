"""Random scores for tests of the views: written to the real engine's table, and kept in plain Python beside it."""

import json
import random
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from model.training.labels import Labels, label_events
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from sinks.table import ClickHouseTable

HORIZONS = ("session", "1h", "24h")
HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000
STRANGE_USERS = ("it's", '"quoted"', "<script>alert(1)</script>", "🛒 👩‍🚀", "x" * 500, "a\\b\n\tc", "' OR 1=1 --")
TYPES = ("view", "cart", "purchase", "checkout", "search")

Row = dict[str, Any]


def random_rows(seed: int, count: int, *, hours: int = 60, users: int = 40, first: int = 0) -> list[Row]:
    """Return rows with ties in time, users with few and with many events, and models with and without horizons."""
    rng = random.Random(seed)
    names = [*STRANGE_USERS, *(f"u{number}" for number in range(users))]
    weights = [3, *([1] * (len(names) - 2)), 12]
    return [_row(rng, rng.choices(names, weights)[0], first + number, hours) for number in range(count)]


def _row(rng: random.Random, user: str, number: int, hours: int) -> Row:
    time_ms = START_MS + rng.randrange(hours * 60) * 60_000
    price = rng.choice([None, 2.5, 19.99])
    model = rng.choice(["m1", "m2"])
    propensity = round(rng.random() ** 3 * 0.98 + 0.001, 6)
    return {
        "user_id": user, "event_id": f"e{number}", "event_type": rng.choices(TYPES, [60, 10, 6, 6, 18])[0],
        "item_id": f"i{number % 7}", "category": f"c{number % 5}", "channel": rng.choice(["web", "app", ""]),
        "price": price, "event_time": time_ms,
        "propensity_session": round(propensity * 0.8, 6), "propensity_1h": round(propensity * 0.9, 6),
        **({"propensity_24h": propensity} if model == "m1" else {}),
        "model": model, "source_topic": "events", "source_partition": number % 4, "source_offset": number // 4,
        "source_timestamp": time_ms + 5, "scored_at": time_ms + 5 + rng.randrange(200),
    }  # fmt: skip


def impression(number: int, shown: list[str], minute: float = 0, user: str = "u", **fields: Any) -> Row:
    """Return the row of an impression."""
    time_ms = START_MS + int(minute * 60_000)
    return {
        "user_id": user, "event_id": f"shown-{number}", "event_type": "impression", "item_id": None, "category": None,
        "channel": None, "price": None, "event_time": time_ms, "propensity_session": None, "propensity_1h": None,
        "propensity_24h": None, "model": "m1", "source_topic": "events", "source_partition": 0,
        "source_offset": 1_000_000 + number, "source_timestamp": time_ms, "scored_at": time_ms, "shown": shown,
        **fields,
    }  # fmt: skip


def random_impressions(seed: int, count: int, *, hours: int = 60, users: int = 20) -> list[Row]:
    """Return lists of the items of `random_rows`, shown to some of its users."""
    draw = random.Random(seed)
    return [
        impression(
            number, draw.sample([f"i{item}" for item in range(7)], draw.randint(1, 5)), draw.randrange(60 * hours),
            f"u{number % users}", shown_by=draw.choice(["m1", ""]), placement=draw.choice(["home", ""]),
        )
        for number in range(count)
    ]  # fmt: skip


class Stored:
    """One database with rows, and the same rows as Python knows them; tokens are its own."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self.settings = settings
        self.client: Client = connect(settings, database=settings.database)
        self.rows: list[Row] = []
        self.last_token = ""

    def add(self, rows: Sequence[Row]) -> None:
        """Insert one block."""
        self.last_token = secrets.token_hex(8)
        self.insert(rows, self.last_token)
        self.rows += rows

    def insert(self, rows: Sequence[Row], token: str) -> None:
        """Insert as the sink does; nothing happens if the token is known."""
        table = ClickHouseTable(self.settings)
        table.insert([json.dumps(row).encode() for row in rows], token)
        table.close()

    def query(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return rows as dicts."""
        result = self.client.query(sql, parameters=parameters)
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def column(self, name: str) -> np.ndarray[Any, Any]:
        return np.array([row.get(name, np.nan) for row in self.rows])

    def propensities(self, horizon: str) -> np.ndarray[Any, Any]:
        """As the table has them: Float32, NaN where the model has no such horizon."""
        return self.column(f"propensity_{horizon}").astype(np.float32).astype(np.float64)

    def labels(self) -> tuple[Labels, int]:
        """Return what model/training/labels.py says of the rows, and the end of the data."""
        _, users = np.unique(self.column("user_id"), return_inverse=True)
        times = self.column("event_time").astype(np.int64)
        return label_events(users, times, self.column("event_type") == "purchase", HORIZONS), int(times.max())
