"""What this process was told when it started, for the script that Streamlit runs anew for every reader."""

from dashboard.settings import DashboardSettings, Source, Told

_told: list[Told] = []


def tell(told: Told) -> None:
    """Say where the pages of this process get their numbers; called once, before the first page is served."""
    _told[:] = [told]


def settings() -> DashboardSettings:
    """Return this process's settings."""
    return _told[-1].settings


def source() -> Source:
    """Return the database that this process was told."""
    return _told[-1].source
