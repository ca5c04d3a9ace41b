"""The configuration of this process, for the script that Streamlit runs anew for every reader."""

from datetime import datetime
from zoneinfo import ZoneInfo

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


def known_as(user_id: str) -> str:
    """Return the id by which the database knows a shopper of the shop."""
    return _configured[-1].pseudonyms.of(user_id)


def zone_name() -> str:
    """Return the name of the shop's time zone; UTC before anything is configured."""
    return _configured[-1].settings.time_zone if _configured else DashboardSettings().time_zone


def in_zone(when: datetime) -> datetime:
    """Return a time as the shop's clocks show it."""
    return when.astimezone(ZoneInfo(zone_name()))


def currency() -> str:
    """Return what stands beside amounts; empty if nobody said."""
    return _configured[-1].settings.currency if _configured else ""
