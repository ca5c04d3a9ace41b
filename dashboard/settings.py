"""The settings of the dashboard: frozen values, read from the environment by nobody here."""

from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from service.clickhouse_settings import ClickHouseSettings
from service.pseudonyms import NO_PSEUDONYMS, Pseudonyms


class DashboardSettings(BaseModel):
    """Where the pages are served and how lively they are."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="address to listen on; the pages ask for no password, so keep others behind a proxy that does",
    )
    names: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._, -]*$",
        description="names, by commas, by which browsers may ask, beside addresses, `localhost` and `host`: those "
        "of the proxy in front of the pages",
    )
    port: int = Field(default=8501, ge=1, le=65535, description="port of the pages")
    worker_url: str = Field(
        default="http://127.0.0.1:6066",
        pattern=r"^https?://[^/\s@]+(/\S*)?$",
        description="a worker's look-up API: where explanations come from",
    )
    worker_token: SecretStr = Field(
        default=SecretStr(""), description="the workers' `worker.web_token`; empty: they ask for none"
    )
    time_zone: str = Field(
        default="UTC", description="the shop's time zone, as `Europe/Berlin`: times on the pages, where days begin"
    )
    currency: str = Field(
        default="",
        max_length=8,
        pattern=r"^[^\s<>`$*\\]*$",
        description="the shop's currency, shown beside amounts: `EUR`",
    )
    annotations: Path | None = Field(
        default=None,
        description="a CSV file with the header `time,text`: what happened (a release, a campaign), drawn over charts "
        "of time; read anew at each page",
    )
    refresh_seconds: float = Field(default=2.0, ge=0.5, le=3600, description="how often the live counters ask again")

    @field_validator("annotations", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("is no time zone: give a name such as Europe/Berlin")
        return name


@dataclass(frozen=True)
class Config:
    """Everything that a dashboard process knows of its surroundings."""

    clickhouse: ClickHouseSettings
    """The database whose views the pages show."""
    settings: DashboardSettings = field(default_factory=DashboardSettings)
    pseudonyms: Pseudonyms = NO_PSEUDONYMS
    """By which shoppers are known there."""
