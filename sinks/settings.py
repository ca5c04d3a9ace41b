"""What the ClickHouse side is told: frozen values, read from the environment by nobody here."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ClickHouseSettings(BaseModel):
    """Where ClickHouse answers and as whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(default="http://127.0.0.1:8123", description="HTTP interface, `https://` for TLS")
    database: str = Field(
        default="cartcast",
        pattern=r"^[A-Za-z0-9_-]+$",
        description="database of the table and views; `migrate` creates it",
    )
    user: str = "default"
    password: SecretStr = SecretStr("")


class SinkSettings(BaseModel):
    """Tuning of one sink process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    block_rows: int = Field(default=20_000, gt=0, le=1_000_000, description="most rows of one insert")
    block_seconds: float = Field(default=0.5, gt=0, description="longest time a row waits for its block to fill")
    instance_id: str | None = Field(default=None, description="Kafka `group.instance.id`: no rebalance at a restart")
    session_timeout_seconds: float = Field(
        default=10.0, gt=0, description="silence after which Kafka gives a sink's partitions to others"
    )
