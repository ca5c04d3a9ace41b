"""How true expected values are, in a terminal."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.table import Table

_COLUMNS: Final = {
    "ratio": "predicted / actual",
    "d2": "deviance explained",
    "gain_10_percent": "value in the top 10 %",
}


def money_table(measured: dict[str, Any], asked: str) -> "Table":
    """Show the measures of expected values on later events, beside models without that head, one line each.

    `asked` is the currency and the time in words.
    """
    from rich.table import Table

    mean = "nothing" if not measured["models"] else f"{measured['mean']:,.4f} on average"
    table = Table("expected value", title=f"after an event, {asked}: {mean}")
    for title in _COLUMNS.values():
        table.add_column(title, justify="right")
    for model, found in measured["models"].items():
        cells = ("-" if found[name] is None else f"{found[name]:.4f}" for name in _COLUMNS)
        table.add_row(model.replace("_", " "), *cells)
    return table
