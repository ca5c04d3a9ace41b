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


def money_verdict(measured: dict[str, Any]) -> str:
    """Say whether expected values beat a propensity times the mean value, by the 95 % interval of the difference."""
    low, high = (measured["differences"].get("propensity_times_value") or {}).get("d2_interval") or (None, None)
    if low is None or high is None:
        return "expected value: too few shoppers bought for a comparison with a propensity times the mean value"
    said = "no better, by all that this history can show, than"
    if low > 0:
        said = "better than"
    elif high < 0:
        said = "worse than"
    return f"expected value: {said} a propensity times the mean value (deviance explained {low:+.4f} to {high:+.4f})"
