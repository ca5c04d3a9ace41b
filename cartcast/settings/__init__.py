"""The settings tree: the only place that reads the environment.

Precedence: flag > environment (`CARTCAST_KAFKA__BOOTSTRAP_SERVERS`) > files of one value each, named like variables
(`CARTCAST_SECRETS_DIR`: where Docker and Kubernetes mount secrets) > YAML file (`--config`) > default. A secret may
also be named by a file: `CARTCAST_KAFKA__SASL_PASSWORD_FILE`. Each part is handed the frozen branch it uses.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cartcast.settings.errors import first_wrong_setting
from cartcast.settings.fields import branches, setting_fields
from cartcast.settings.sources import (
    Layer,
    flags_layer,
    merged,
    refuse_single_underscores,
    secrets_layer,
    variables_layer,
    yaml_layer,
)
from dashboard.settings import DashboardSettings
from service.clickhouse_settings import ClickHouseSettings
from service.errors import UsageError
from service.kafka_settings import KafkaSettings
from service.log_settings import LogSettings
from sinks.settings import SinkSettings
from streams.settings import RecommendationSettings, TraceSettings, WorkerSettings

CONFIG_FILE_VARIABLE = "CARTCAST_CONFIG"
SECRETS_DIRECTORY_VARIABLE = "CARTCAST_SECRETS_DIR"


class Settings(BaseModel):
    """Everything that can be set, in one tree."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    worker: WorkerSettings = WorkerSettings()
    recommendations: RecommendationSettings = RecommendationSettings()
    sink: SinkSettings = SinkSettings()
    dashboard: DashboardSettings = DashboardSettings()
    trace: TraceSettings = TraceSettings()
    log: LogSettings = LogSettings()


@dataclass(frozen=True)
class Loaded:
    """The effective tree, and the sources that it was composed of, the strongest first."""

    settings: Settings
    layers: Sequence[Layer]


def load_settings(config_file: Path | None = None, **flags: object) -> Settings:
    """Compose the tree; `flags` are nested dicts of values given on the command line, e.g. `kafka={"partitions": 8}`.

    Raises UsageError with one line that names the first wrong setting, its source and what is allowed, never a secret.
    """
    return load(config_file, **flags).settings


def load(config_file: Path | None = None, **flags: object) -> Loaded:
    """Compose the tree as `load_settings` does, and keep where each value came from."""
    layers = _layers(config_file, flags)
    try:
        return Loaded(Settings.model_validate(merged(layers)), layers)
    except ValidationError as failure:
        raise UsageError(first_wrong_setting(failure, Settings, layers)) from None


def _layers(config_file: Path | None, flags: dict[str, object]) -> list[Layer]:
    names = list(branches(Settings))
    fields = list(setting_fields(Settings))
    refuse_single_underscores(os.environ, [tuple(field.name.split(".")) for field in fields])
    secrets = [tuple(field.name.split(".")) for field in fields if field.is_secret]
    layers = [flags_layer(flags), variables_layer(os.environ, names, secrets)]
    if directory := os.environ.get(SECRETS_DIRECTORY_VARIABLE):
        layers.append(secrets_layer(Path(directory), names))
    if config_file is not None:
        layers.append(yaml_layer(config_file, "--config", secrets))
    elif name := os.environ.get(CONFIG_FILE_VARIABLE):
        layers.append(yaml_layer(Path(name), CONFIG_FILE_VARIABLE, secrets))
    return layers
