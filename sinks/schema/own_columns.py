"""Columns for what a shop's definition adds to scores; named like the scores' fields, so that JSON fills them."""

from typing import Final

from clickhouse_connect.driver.client import Client

from model.shop import Shop
from service.clickhouse import connected
from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.layout import layout_of, run
from sinks.table import ATTRIBUTES, CUSTOM_TYPE, TABLE

_ADD_CUSTOM_TYPE: Final = f"""
ALTER TABLE {TABLE}
    ADD COLUMN IF NOT EXISTS {CUSTOM_TYPE} LowCardinality(String) DEFAULT ''
        COMMENT 'the shop''s own type of the event; empty if it is a built-in one' AFTER event_type
"""
_ADD_ATTRIBUTES: Final = f"""
ALTER TABLE {TABLE}
    ADD COLUMN IF NOT EXISTS {ATTRIBUTES} Map(LowCardinality(String), String)
        COMMENT 'attributes of the event by name, as the shop defines them; without those that are unknown'
        CODEC(ZSTD(1)) AFTER channel
"""


def own_columns(shop: Shop) -> dict[str, str]:
    """Return the statement that adds each column that a definition needs, by the column's name."""
    types = {CUSTOM_TYPE: _ADD_CUSTOM_TYPE} if shop.types else {}
    return types | ({ATTRIBUTES: _ADD_ATTRIBUTES} if shop.attributes else {})


def add_own_columns(settings: ClickHouseSettings, shop: Shop) -> list[str]:
    """Give the table the columns that a definition needs and return the names of the new ones; safe to repeat.

    Raises CartcastError.
    """
    with connected(settings, database=settings.database) as client:
        missing = missing_columns(client, shop)
        for name in missing:
            run(client, layout_of(settings), own_columns(shop)[name])
    return missing


def missing_columns(client: Client, shop: Shop) -> list[str]:
    """Return which of the columns that a definition needs the table of the client's database does not have."""
    if not shop.has_own_events:
        return []
    known = {str(name) for name, *_ in client.query(f"DESCRIBE TABLE {TABLE}").result_rows}
    return [name for name in own_columns(shop) if name not in known]
