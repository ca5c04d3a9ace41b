"""The settings tree: the only place that reads the environment.

Precedence: flag > environment (`CARTCAST_KAFKA__BOOTSTRAP_SERVERS`) > files of one value each, named like the variables
(`CARTCAST_SECRETS_DIR`: where Docker and Kubernetes mount secrets) > YAML file (`--config`) > default.
Each part is handed the frozen branch it uses.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from cartcast.errors import UsageError
from sinks.settings import ClickHouseSettings, SinkSettings
from streams.settings import Topics, WorkerSettings

CONFIG_FILE_VARIABLE = "CARTCAST_CONFIG"
SECRETS_DIRECTORY_VARIABLE = "CARTCAST_SECRETS_DIR"
_PLAINLY: Final = {
    "extra_forbidden": "there is no such setting",
    "model_type": "holds settings of its own, not a value",
}
"""Pydantic's kinds of errors whose own words are of no help here."""


class KafkaSettings(BaseModel):
    """The cluster and how to speak to it; the same for every client."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = "127.0.0.1:9092"
    topic_prefix: str = Field(default="cartcast", pattern=r"^[A-Za-z0-9._-]{1,200}$")
    partitions: int = Field(default=4, gt=0, description="partitions of the events, scores and dead-letter topics")
    replication_factor: int = Field(default=1, gt=0)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    ssl_ca_location: Path | None = None

    @property
    def topics(self) -> Topics:
        return Topics(prefix=self.topic_prefix)

    def client_config(self) -> dict[str, Any]:
        """Return the librdkafka properties that reach this cluster."""
        config: dict[str, Any] = {"bootstrap.servers": self.bootstrap_servers}
        if self.security_protocol != "PLAINTEXT":
            config["security.protocol"] = self.security_protocol
        if self.security_protocol.startswith("SASL"):
            config["sasl.mechanism"] = self.sasl_mechanism
            config["sasl.username"] = self.sasl_username
            config["sasl.password"] = self.sasl_password.get_secret_value()
        if self.ssl_ca_location:
            config["ssl.ca.location"] = str(self.ssl_ca_location)
        return config


class LogSettings(BaseModel):
    """What the long-running processes write to stderr."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="`auto`: console on a terminal, else JSON"
    )


class Settings(BaseSettings):
    """Everything that can be set, in one tree."""

    model_config = SettingsConfigDict(env_prefix="CARTCAST_", env_nested_delimiter="__", frozen=True, extra="forbid")

    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    worker: WorkerSettings = WorkerSettings()
    sink: SinkSettings = SinkSettings()
    log: LogSettings = LogSettings()


def load_settings(config_file: Path | None = None, **flags: object) -> Settings:
    """Compose the tree; `flags` are nested dicts of values given on the command line, e.g. `kafka={"partitions": 8}`.

    Raises UsageError with one line that names the first wrong setting, and never a secret.
    """
    path = config_file or (Path(name) if (name := os.environ.get(CONFIG_FILE_VARIABLE)) else None)
    secrets = _secrets_directory()
    _refuse_unknown_branches(os.environ)
    _refuse_unknown_branches(path.name for path in (secrets.iterdir() if secrets else ()))
    in_file = {} if path is None else _read_file(path)

    class _SettingsOfThisCall(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - Cartcast reads no .env file
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            in_files = NestedSecretsSettingsSource(file_secret_settings, secrets)
            return init_settings, env_settings, in_files, InitSettingsSource(settings_cls, in_file)

    try:
        return _SettingsOfThisCall(**flags)  # type: ignore[arg-type]
    except ValidationError as failure:
        raise UsageError(_first_wrong_setting(failure)) from None
    except SettingsError as failure:
        raise UsageError(f"{failure}: give JSON, or one variable a value, e.g. CARTCAST_KAFKA__PARTITIONS=8") from None


def _read_file(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML file."""
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as failure:
        reason = (failure.strerror or "").lower()
        raise UsageError(
            f"the settings file {path} cannot be read ({reason}): correct --config or {CONFIG_FILE_VARIABLE}"
        ) from None
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = "" if mark is None else f", see line {mark.line + 1}"  # the text itself may hold a secret
        raise UsageError(f"the settings file {path} is not YAML{where}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"the settings file {path} holds no settings: it should begin with a name such as `kafka:`")
    return {str(name): value for name, value in content.items()}


def _secrets_directory() -> Path | None:
    name = os.environ.get(SECRETS_DIRECTORY_VARIABLE)
    if not name:
        return None
    if not (Path(name).is_dir() and os.access(name, os.R_OK | os.X_OK)):
        raise UsageError(f"{name} is no directory that can be read: correct {SECRETS_DIRECTORY_VARIABLE}")
    return Path(name)


def _refuse_unknown_branches(variables: Iterable[str]) -> None:
    """Find misspelt variables; those without `__` may be somebody else's (Kubernetes makes some for each service)."""
    for variable in variables:
        branch, nested, _ = variable.lower().removeprefix("cartcast_").partition("__")
        if variable.lower().startswith("cartcast_") and nested and branch not in Settings.model_fields:
            raise UsageError(f"variable {variable}: there is no setting {branch}")


def _first_wrong_setting(failure: ValidationError) -> str:
    first = failure.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if (plainly := _PLAINLY.get(first["type"])) is not None:
        return f"setting {name}: {plainly}"
    may_show = "." in name and "password" not in name and isinstance(first["input"], str | int | float)
    return f"setting {name}: {first['msg'].lower()}" + (f" (given: {first['input']!r})" if may_show else "")


def given(**flags: object) -> dict[str, object]:
    """Return the flags that were given on the command line: those that are not None."""
    return {name: value for name, value in flags.items() if value is not None}
