"""Databases for the pages, names in them that nobody should trust, and whether pages are served."""

from dataclasses import dataclass
from urllib.request import urlopen

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from dashboard.clickhouse import Database
from service.clickhouse_settings import ClickHouseSettings
from tests.dashboard.filled_shop import Score

NASTY_NAMES = [
    "'; DROP TABLE scores; --",
    '"><img src=x onerror="document.title=1">',
    "<script>document.title='taken'</script>",
    "[click](javascript:document.title='taken')",
    "**bold** :smile: $x^2$ # https://evil.example/ www.evil.example",
    "{user:String} %27 OR 1=1 -- {{7*7}}",
    "back\\slash `tick` |pipe|",
    "=HYPERLINK(1)",
    "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{WOMAN} \u202eright-to-left",
    "x" * 500,
]
"""User ids, categories and channels of events that are the likeliest of all."""


@dataclass(frozen=True)
class Shop:
    """A filled database, and what is in it."""

    source: ClickHouseSettings
    client: Client
    rows: list[Score]

    @property
    def database(self) -> Database:
        return Database(self.source)


def client_of(source: ClickHouseSettings) -> Client:
    return clickhouse_connect.get_client(dsn=f"{source.url}/{source.database}")


def nasty_rows(rows: list[Score]) -> list[Score]:
    """Two events each for NASTY_NAMES, as the last of the shop."""
    last = max(row["event_time"] for row in rows)
    return [
        {
            **rows[-1],
            "user_id": name,
            "event_id": f"nasty-{number}-{turn}",
            "event_type": ("view", "checkout")[turn],
            "item_id": name[:40],
            "category": name,
            "channel": name[:60],
            "price": 10.0 + number,
            "event_time": last - 1000 * (2 - turn),
            "propensity_24h": 0.97 + 0.001 * number,
            "source_partition": 0,
            "source_offset": 1_000_000 + 2 * number + turn,
        }
        for number, name in enumerate(NASTY_NAMES)
        for turn in range(2)
    ]


def answers(url: str) -> bool:
    """Whether a server of ours says that all is well there."""
    try:
        with urlopen(url) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except OSError:
        return False
