"""The configuration of this process, for the script that Streamlit runs anew for every reader."""

from dashboard.settings import Config, DashboardSettings
from service.clickhouse_settings import ClickHouseSettings

_configured: list[Config] = []


def configure(config: Config) -> None:
    """Set where the pages of this process get their numbers; called once, before the first page is served."""
    _configured[:] = [config]


def settings() -> DashboardSettings:
    """Return this process's settings."""
    return _configured[-1].settings


def clickhouse() -> ClickHouseSettings:
    """Return the database of this process."""
    return _configured[-1].clickhouse
