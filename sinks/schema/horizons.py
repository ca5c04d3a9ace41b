"""Columns for what a model says beyond the three standard horizons: further horizons, a shop's goals, and money.

They are named like the scores' fields, so that JSON fills them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from clickhouse_connect.driver.client import Client

from model.events import EXPECTED_VALUE, propensity_field
from model.horizons import HORIZONS
from model.shop import NO_SHOP, Shop
from service.clickhouse import connected
from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.layout import layout_of, run
from sinks.table import TABLE, quoted

_ADD_COLUMN: Final = """
ALTER TABLE {table}
    ADD COLUMN IF NOT EXISTS {name} Float32 DEFAULT nan
        COMMENT {comment}
        CODEC(ZSTD(1)) AFTER propensity_24h,
    ADD CONSTRAINT IF NOT EXISTS {name} CHECK isNaN({name}) OR {rule}
"""


@dataclass(frozen=True, slots=True)
class ModelColumn:
    """A column for a field of a score that not every model has."""

    name: str
    comment: str
    rule: str
    """What a value that is a number must fulfil."""

    @classmethod
    def of_propensity(cls, horizon: str, shop: Shop) -> Self:
        """Return the column of a horizon's or a goal's propensity."""
        name = propensity_field(horizon)
        asked = f"what goal {horizon} asks: {shop.goal(horizon).words}" if horizon in shop.goals else "a purchase"
        within = "" if horizon in shop.goals else f" within {horizon} after the event"
        comment = f"probability of {asked}{within}; NaN if the model has no such horizon"
        return cls(name, comment, f"{name} BETWEEN 0 AND 1")

    @property
    def statement(self) -> str:
        """The statement that gives the table this column and its rule; safe to repeat."""
        return _ADD_COLUMN.format(table=TABLE, name=self.name, comment=quoted(self.comment), rule=self.rule)


def model_columns(horizons: Iterable[str], shop: Shop = NO_SHOP) -> list[ModelColumn]:
    """Return the columns of these horizons and goals, and of money and its horizon if the shop asks for it.

    `horizons` are valid (`model.horizons.check_horizons`).
    """
    of_money = () if shop.money is None or shop.money.within in HORIZONS else (shop.money.within,)
    columns = [ModelColumn.of_propensity(horizon, shop) for horizon in dict.fromkeys((*horizons, *of_money))]
    if shop.money is not None:
        comment = f"expected value of purchases, {shop.money.words} after the event; NaN if the model expects none"
        columns.append(ModelColumn(EXPECTED_VALUE, comment, f"{EXPECTED_VALUE} >= 0"))
    return columns


def add_columns(settings: ClickHouseSettings, columns: Sequence[ModelColumn]) -> list[str]:
    """Give the table those of these columns that it lacks and return their names; raises CartcastError."""
    with connected(settings, database=settings.database) as client:
        missing = _missing(client, columns)
        for column in missing:
            run(client, layout_of(settings), column.statement)
    return [column.name for column in missing]


def missing_columns(settings: ClickHouseSettings, columns: Sequence[ModelColumn]) -> list[str]:
    """Return those of a model's columns that the table lacks, so that it leaves them out; raises CartcastError."""
    with connected(settings, database=settings.database) as client:
        return [column.name for column in _missing(client, columns)]


def _missing(client: Client, columns: Sequence[ModelColumn]) -> list[ModelColumn]:
    known = {str(name) for name, *_ in client.query(f"DESCRIBE TABLE {TABLE}").result_rows}
    return [column for column in columns if column.name not in known]
