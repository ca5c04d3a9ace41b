"""The settings of one sink process: frozen values, read from the environment by nobody here."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class SinkSettings(BaseModel):
    """Tuning of one sink process."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    block_rows: int = Field(default=20_000, gt=0, le=1_000_000, description="most rows of one insert")
    block_seconds: float = Field(default=0.5, gt=0, description="longest time a row waits for its block to fill")
    instance_id: str | None = Field(default=None, description="Kafka `group.instance.id`: no rebalance at a restart")
    session_timeout_seconds: float = Field(
        default=10.0, gt=0, description="silence after which Kafka gives a sink's partitions to others"
    )
    lag_seconds: float = Field(
        default=5.0, ge=0, description="how often consumer lag is sampled into ClickHouse; 0: never"
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="port of the sink's /metrics, /livez and /readyz; 0: none"
    )
    metrics_bind: str = Field(
        default="127.0.0.1", description="address of that port; 0.0.0.0, for every one, needs sink.metrics_token"
    )
    metrics_token: SecretStr = Field(
        default=SecretStr(""), description="what /metrics asks for as `Authorization: Bearer`; empty: nothing"
    )
    metrics_names: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._, -]*$",
        description="names, by commas, by which /metrics may be asked for without a token, beside addresses and "
        "`localhost`",
    )
    sample_seconds: float = Field(
        default=60.0,
        ge=0,
        description="how often ClickHouse is asked for disk space, drift and calibration, for the metrics; 0: never",
    )
    stalled_seconds: float = Field(
        default=300.0,
        gt=0,
        description="how long nothing may get on, while records wait, before /livez says so; and how long a part may "
        "not turn, though Kafka and ClickHouse answer, before the sink ends itself with status 1",
    )
