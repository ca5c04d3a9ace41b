"""The value of `--horizons`, the same for every command that has the option."""

from service.errors import UsageError


def horizon_names(text: str) -> tuple[str, ...]:
    """Return the horizons that `text` names by commas; raises UsageError."""
    from model.horizons import check_horizons  # noqa: PLC0415 - numpy is slow to import

    names = tuple(name.strip() for name in text.split(","))
    try:
        check_horizons(names)
    except ValueError as failure:
        raise UsageError(f"--horizons {text}: {failure}") from None
    return names
