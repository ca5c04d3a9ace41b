"""Databases for the pages: one filled with a simulated shop and with names that nobody should trust, one empty."""

from collections.abc import Iterator

import pytest

from service.clickhouse_settings import ClickHouseSettings
from tests.dashboard import filled_shop
from tests.dashboard.databases import Shop, client_of, nasty_rows
from tests.harness.databases import Databases


@pytest.fixture(scope="session")
def shop(databases: Databases) -> Iterator[Shop]:
    """A shop of some twelve thousand events in the session's engine."""
    with databases.lend() as source:
        client = client_of(source)
        rows = list(filled_shop.scores(events=12_000, users=400))
        letters = filled_shop.dead_letters(rows)
        shown = list(filled_shop.impressions(rows))
        rows += nasty_rows(rows)
        filled_shop.insert(client, "scores", [*rows, *shown])
        filled_shop.insert(client, "dead_letters", letters)
        filled_shop.insert(client, "consumer_lag", filled_shop.lags())
        filled_shop.insert(client, "recommendations", filled_shop.recommendations(rows))
        yield Shop(source, client, rows)


@pytest.fixture(scope="session")
def empty(databases: Databases) -> Iterator[ClickHouseSettings]:
    """A database with all views over nothing."""
    with databases.lend() as source:
        yield source
