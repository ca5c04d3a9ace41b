"""Blocks that pages are made of: a card with a finding over it, a row of numbers, a table with its download."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import streamlit as st

from dashboard import config
from dashboard.clickhouse import Row
from dashboard.csv_export import as_csv
from dashboard.formatting import percent, period
from dashboard.queries.range import Range, Span

_ADDRESS: Final = re.compile(r"(://|www|@|:)(?=\S)", re.IGNORECASE)
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>$:&@/=^])")

STYLE: Final = """
<style>
[data-testid="stMainBlockContainer"] { padding-top: 4.2rem; max-width: 1400px; }
[class*="st-key-numbers-"] > * { flex: 1 1 8.2rem !important; min-width: 8.2rem !important; width: auto !important; }
[data-testid="stMetricLabel"] p { white-space: normal; }
[data-testid="stMetricValue"] div { white-space: normal; overflow: visible; overflow-wrap: anywhere; }
[data-testid="stMetric"] { padding: .6rem .8rem !important; }
[data-testid="stMetric"] > div { padding: 0 !important; }
.st-key-shopper-id [data-testid="stText"] { font-size: 1.25rem; font-weight: 600; overflow-wrap: anywhere; }
[data-stale="true"] { opacity: 1 !important; transition: none !important; }
h1 { font-size: 1.7rem !important; padding-bottom: 0 !important; }
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding-left: .9rem; padding-right: .9rem; }
  h1 { font-size: 1.35rem !important; }
}
</style>
"""
"""Ours alone: no data comes near it."""


@contextmanager
def card(finding: str, explanation: str = "") -> Iterator[None]:
    """Frame a block. `finding` and `explanation` are our own words and numbers; data goes through `escaped`."""
    with st.container(border=True, height="stretch"):
        st.markdown(f"**{finding}**")
        yield
        if explanation:
            st.caption(explanation)


@contextmanager
def numbers(name: str) -> Iterator[None]:
    """Lay numbers side by side, as many in a row as there is place for."""
    with st.container(horizontal=True, gap="small", key=f"numbers-{name}"):
        yield


def number(label: str, value: str, explanation: str, change: str | None = None) -> None:
    """Show one number of a row; a `change` of nothing, such as +0.0 %, has no arrow."""
    arrow: Literal["auto", "off"] = "auto" if change and set(change) & set("123456789") else "off"
    st.metric(
        *(label, value, change),
        delta_color="off",
        delta_arrow=arrow,
        help=explanation,
        border=True,
        height="stretch",
    )


def compared_with(span: Range, stored: Span) -> str:
    """Say what the changes beside numbers are to: as long a time before, if all of it is stored."""
    before = span.before(stored)
    earlier = period(before.since, before.until)
    return f"Changes: to {earlier}." if span.has_all_before(stored) else f"No changes: not all of {earlier} is stored."


def looked_at(share: float) -> str:
    """Say which part of the shoppers is counted."""
    if share == 1:
        return "All shoppers are counted."
    return (
        f"Counted are {percent(share, 0 if share > 0.02 else 1)} of the shoppers, with all that they did: a shorter "
        "range counts more of them."
    )


def escaped(text: str) -> str:
    """Return data as Markdown that shows it letter by letter; a joiner of no width keeps addresses from being links."""
    return _MARKUP.sub(r"\\\1", _ADDRESS.sub("\\1\u2060", " ".join(text.split())))


def table(  # noqa: PLR0913 - what, what of it, and how
    rows: Sequence[Row],
    name: str,
    columns: dict[str, Any],
    *,
    description: str,
    height: int | None = None,
    on_select: Callable[[], None] | None = None,
) -> None:
    """Show rows and a button that saves them as CSV.

    `columns` maps the shown columns to their configuration; the file has all of them, under the same names. With
    `on_select` one row can be chosen: `chosen_row` says which.
    """
    shown = [{column: row[column] for column in columns} for row in rows]
    st.dataframe(
        [_in_percent(row, columns) for row in shown],
        hide_index=True,
        column_config={name: _configured(column) for name, column in columns.items()},
        column_order=list(columns),
        height=height or "auto",
        alt=description,
        key=f"table-{name}",
        on_select=on_select or "ignore",
        selection_mode="single-row",
    )
    download(shown, name)


@dataclass(frozen=True)
class When:
    """A column of times, as the shop's clocks show them."""

    label: str
    format: str = "YYYY-MM-DD HH:mm:ss"


@dataclass(frozen=True)
class Money:
    """A column of amounts in the shop's currency."""

    label: str
    help: str | None = None


@dataclass(frozen=True)
class Share:
    """A column of shares of one, in percent with one decimal; as a bar if it is what the rows are ranked by."""

    label: str
    help: str | None = None
    bar: bool = False


def _configured(column: Any) -> Any:  # noqa: ANN401 - Streamlit's columns have no common type
    if isinstance(column, When):
        zone = config.zone_name()
        return st.column_config.DatetimeColumn(column.label, format=column.format, timezone=zone, help=f"Times: {zone}")
    if isinstance(column, Money):
        label = f"{column.label}, {config.currency()}".removesuffix(", ")
        return st.column_config.NumberColumn(label, format="%.2f", help=column.help)
    if isinstance(column, Share):
        if column.bar:
            return st.column_config.ProgressColumn(column.label, format="%.1f %%", min_value=0, max_value=100)
        return st.column_config.NumberColumn(column.label, format="%.1f %%", help=column.help)
    return column


def _in_percent(row: Row, columns: dict[str, Any]) -> Row:
    shares = {name: 100 * row[name] for name in columns if isinstance(columns[name], Share) and row[name] is not None}
    return row | shares


def chosen_row(name: str) -> int | None:
    """Return the place of the chosen row of a table, for its `on_select`."""
    rows: list[int] = st.session_state[f"table-{name}"].selection.rows
    return rows[0] if rows else None


def download(rows: Sequence[Row], name: str) -> None:
    """Show the button that saves rows as CSV."""
    st.download_button(
        "CSV",
        as_csv(rows),  # not a function: its file would be another at each refresh, and a click on the last one lost
        file_name=f"cartcast-{name}.csv",
        mime="text/csv",
        key=f"csv-{name}",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
        help="Save what the table shows. Texts that a spreadsheet would take for formulas get an apostrophe.",
    )
