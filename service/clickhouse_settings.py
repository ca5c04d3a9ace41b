"""The settings of ClickHouse: where it answers, as whom, and what its tables and views need."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from service.tls import check_certificate, check_readable


class ClickHouseSettings(BaseModel):
    """Where ClickHouse answers and as whom."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    url: str = Field(
        default="http://127.0.0.1:8123",
        description="HTTP interface, `http://HOST:PORT`, or `https://` for TLS; without user and password",
    )
    database: str = Field(
        default="cartcast",
        pattern=r"^[A-Za-z0-9_-]+$",
        description="database of the table and views; `migrate` creates it",
    )
    user: str = Field(
        default="default", description="who asks; `migrate` makes tables and views, the dashboard only reads"
    )
    password: SecretStr = Field(default=SecretStr(""), description="that user's password")
    ssl_ca_location: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign the server's certificate; if it is not set, the system's",
    )
    ssl_certificate_location: Path | None = Field(
        default=None, description="PEM file of this client's certificate, for a server that asks for one (mutual TLS)"
    )
    ssl_key_location: Path | None = Field(
        default=None, description="PEM file of that certificate's key; if it is not set, it stands in the same file"
    )
    ssl_key_password: SecretStr = Field(default=SecretStr(""), description="what opens that key, if it is encrypted")
    ssl_verify: bool = Field(
        default=True, description="whether the server must prove who it is; without, anybody can pass for it"
    )
    cluster: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="name of a ClickHouse cluster (`system.clusters`): `migrate` then makes replicated tables on all "
        "of its servers and spreads the scores over its shards; empty: one server",
    )
    insert_quorum: int = Field(
        default=0,
        ge=0,
        le=100,
        description="servers of a shard that must have a block before the sink's position moves past it; 0: one; "
        "only with `cluster`",
    )
    retention_days: int = Field(
        default=400,
        ge=0,
        le=36_500,
        description="days that scores, recommendations and dead letters are kept, from when they were made; 0: for "
        "ever; `migrate` applies it, and what is older goes",
    )
    segment_high: float = Field(default=0.3, ge=0, le=1, description="least propensity_24h of segment high")
    segment_medium: float = Field(default=0.1, ge=0, le=1, description="least propensity_24h of segment medium")
    drift_reference_from: datetime | None = Field(
        default=None, description="start of the period that drift is measured against; none: each model's first day"
    )
    drift_reference_to: datetime | None = Field(
        default=None, description="end of that period; none: 24 hours after its start"
    )

    evaluated_scores: int = Field(
        default=250_000,
        ge=1_000,
        le=100_000_000,
        description="about how many scores the views of the evaluation look at: whole histories of a sample of "
        "shoppers; all, if there are no more",
    )

    @model_validator(mode="after")
    def _secrets_are_apart(self) -> Self:
        if "@" in self.url.partition("://")[2].partition("/")[0]:
            raise ValueError("url holds a user or a password, which logs would show: set user and password instead")
        if "?" in self.url or "#" in self.url:
            raise ValueError("url holds a query, which logs would show: end it after the port")
        if self.ssl_key_location and not self.ssl_certificate_location:
            raise ValueError("ssl_key_location is set, but not ssl_certificate_location: give both")
        return self

    def certificates(self) -> dict[str, Path]:
        """Return the files of certificates that are used, by the name of their setting."""
        names = ("ssl_ca_location", "ssl_certificate_location") if self.url.startswith("https") else ()
        return {f"clickhouse.{name}": path for name in names if (path := getattr(self, name)) is not None}

    @property
    def authenticating_certificate(self) -> str | None:
        """The client's certificate, if it proves who the user is: if there is no password."""
        if self.password.get_secret_value() or not self.url.startswith("https") or not self.ssl_certificate_location:
            return None
        return str(self.ssl_certificate_location)

    def pool_options(self) -> dict[str, Any]:
        """Return what urllib3's connections are made with.

        Raises CertificateError if a file cannot be read, or holds a certificate that has expired.
        """
        if not self.url.startswith("https"):
            return {}
        for name, path in self.certificates().items():
            check_certificate(name, path)
        if self.ssl_key_location:
            check_readable("clickhouse.ssl_key_location", self.ssl_key_location)
        key, password = self.ssl_key_location, self.ssl_key_password.get_secret_value()
        return {
            "verify": self.ssl_verify,
            "ca_cert": str(self.ssl_ca_location) if self.ssl_ca_location else None,
            "client_cert": str(self.ssl_certificate_location) if self.ssl_certificate_location else None,
            "client_cert_key": str(key) if key else None,
            **({"key_password": password} if password else {}),
        }

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.segment_medium > self.segment_high:
            raise ValueError("segment_medium is above segment_high")
        if self.drift_reference_to is not None:
            if self.drift_reference_from is None:
                raise ValueError("drift_reference_to needs drift_reference_from")
            if as_utc(self.drift_reference_to) <= as_utc(self.drift_reference_from):
                raise ValueError("drift_reference_to is not after drift_reference_from")
        return self


def as_utc(time: datetime) -> datetime:
    """Return the time in UTC; one without a zone is taken for UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
