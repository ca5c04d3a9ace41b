"""Histories: files, frames and simulated shops, read as often as one likes."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from cartcast.commands.shared.event_files import EventFiles
from cartcast.commands.shared.shop_file import read_shop
from model.events import Event
from model.formats import FORMATS
from model.shop import NO_SHOP, Shop
from model.validate import BadRow
from service.errors import FormatError, UsageError

Rows: TypeAlias = Iterator[Event | BadRow]

_COLUMNS: Final = tuple(name for name in Event.__struct_fields__ if name not in {"context", "attributes"})


class Events:
    """A history in the order in which it arrived; iterating reads it, and yields the events.

    Rows that are no events are left out, counted, and warned of: `bad_rows` and `first_bad_rows` are those of the last
    reading.
    """

    def __init__(self, read: Callable[[Shop], Rows], shop: Shop = NO_SHOP, given: object = None) -> None:
        """Keep how to read, which must give the same rows every time; `given` is what scores will look like."""
        self._read, self.shop, self.given = read, shop, given
        self.bad_rows = 0
        self.first_bad_rows: list[BadRow] = []

    def rows(self, shop: Shop | None = None) -> Rows:
        """Yield events, and bad rows with their reason; events have what `shop` defines, by default the history's."""
        self.bad_rows, self.first_bad_rows = 0, []
        events = 0
        for row in self._read(self.shop if shop is None else shop):
            if isinstance(row, BadRow):
                self.bad_rows += 1
                if len(self.first_bad_rows) < _KEPT_BAD_ROWS:
                    self.first_bad_rows.append(row)
            else:
                events += 1
            yield row
        if self.bad_rows:
            first = self.first_bad_rows[0]
            warnings.warn(
                f"{self.bad_rows:,} of {self.bad_rows + events:,} rows are no events and left out; the first is row "
                f"{first.line}: {first.error}",
                stacklevel=2,
            )

    def __iter__(self) -> Iterator[Event]:
        return (row for row in self.rows() if isinstance(row, Event))

    def to_arrow(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return an Arrow table, a row an event; `ts` is a time in UTC, `channel` is `context.channel`."""
        import pyarrow as pa  # type: ignore[import-untyped] # noqa: PLC0415 - to read a file does not need it

        columns: dict[str, list[Any]] = {name: [] for name in (*_COLUMNS, "channel")}
        for event in self:
            for name, column in columns.items():
                column.append(getattr(event, name))
        kinds = {
            "ts": pa.timestamp("ms", "UTC"),
            "price": pa.float64(),
            "quantity": pa.float64(),
            "rating": pa.float64(),
            "items": pa.list_(pa.string()),
        }
        return pa.table({name: pa.array(column, kinds.get(name, pa.string())) for name, column in columns.items()})

    def to_pandas(self) -> Any:  # noqa: ANN401
        """Return a pandas DataFrame of the same columns."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:  # noqa: ANN401
        """Return a polars DataFrame of the same columns."""
        import polars  # noqa: PLC0415 - an extra of the reader's

        return polars.from_arrow(self.to_arrow())


_KEPT_BAD_ROWS: Final = 10


def read(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    format: str | None = None,  # noqa: A002 - the command calls it so
    *,
    shop: str | os.PathLike[str] | None = None,
    strict: bool = False,
) -> Events:
    """Open files of events, one after the other; nothing is read before it is needed.

    `format` is a name of docs/formats.md or a mapping file, and is guessed if it is not given. `shop` is the file of a
    shop's own types and attributes. `strict` raises at the first bad row. Raises FormatError for a file that is missing
    or of no known format, UsageError for an unknown format's name or a shop file that is wrong.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    if format is not None and format not in FORMATS and not format.endswith((".yml", ".yaml")):
        raise UsageError(f"{format!r} is no format: choose one of {', '.join(FORMATS)}, or name a mapping file, .yml")
    files = EventFiles([Path(each) for each in paths], format, strict=strict)

    def rows(shop: Shop) -> Rows:
        files.shop = shop
        return files.rows(lambda _: None)

    return Events(rows, read_shop(None if shop is None else Path(shop)))


def simulate(events: int = 100_000, *, users: int = 1000, seed: int = 1, items: int | None = None) -> Events:
    """Return the history of a simulated shop (docs/simulator.md); the same seed gives the same events.

    `items` is how many the shop has, at least 200.
    """
    from model.simulator import Simulation, SimulationSettings  # noqa: PLC0415 - loads what only it needs

    settings = SimulationSettings(
        events=events, users=users, seed=seed, items=SimulationSettings.items if items is None else items
    )
    return Events(lambda _shop: iter(Simulation(settings).events()))


def events_of(given: Any) -> Events:  # noqa: ANN401 - whatever a history may be
    """Return a history: `Events` as they are, a file by its path, a frame, or dicts of canonical events.

    Raises FormatError for anything else.
    """
    from cartcast.api.frames import is_frame, lines_of  # noqa: PLC0415 - loads pyarrow

    if isinstance(given, Events):
        return given
    if isinstance(given, str | os.PathLike):
        return read(given)
    if is_frame(given):
        return Events(lambda shop: FORMATS["cartcast"](lines_of(given), shop), given=given)
    if isinstance(given, Iterable) and not isinstance(given, bytes | Mapping):
        rows = list(given)
        if all(isinstance(row, Event) for row in rows):
            return Events(lambda _shop: iter(rows))
        if all(isinstance(row, Mapping) for row in rows):
            lines = [(number, orjson.dumps(row, default=str)) for number, row in enumerate(rows, 1)]
            return Events(lambda shop: FORMATS["cartcast"](iter(lines), shop))
    raise FormatError(
        f"{type(given).__name__} is no history: give what `cartcast.read` or `cartcast.simulate` return, a path, a "
        "frame of pandas, polars or Arrow, or dicts"
    )
