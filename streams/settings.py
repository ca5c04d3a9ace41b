"""What the stream side is told: frozen values, read from the environment by nobody here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from model.input_formats import InputFormat


class Topics(BaseModel):
    """Topic names; all derive from one prefix."""

    model_config = ConfigDict(frozen=True)

    prefix: str = "cartcast"

    @property
    def events(self) -> str:
        return f"{self.prefix}.events"

    @property
    def scores(self) -> str:
        return f"{self.prefix}.scores"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dead-letters"

    @property
    def changelog(self) -> str:
        """Faust's name for the changelog of the table `sequences` in the application `prefix`."""
        return f"{self.prefix}-sequences-changelog"


class WorkerSettings(BaseModel):
    """Tuning of one stream worker; the defaults suit a laptop and a small server alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint: Path | None = Field(
        default=None, description="checkpoint directory; the one that ships with Cartcast if not given"
    )
    input_format: InputFormat = Field(
        default="cartcast",
        description="what the events topic carries: `cartcast`, `segment` or `ga4`, one event a record, keyed by user",
    )
    device: str = Field(default="auto", description="`auto` (CUDA, else the CPU), `cpu`, `cuda`, `cuda:1`")
    commit_interval_seconds: float = Field(
        default=1.0, gt=0, description="how often sequence states are written to the changelog and offsets committed"
    )
    max_batch_events: int = Field(default=5000, gt=0, description="most events of one fetch that are scored together")
    fetch_min_bytes: int = Field(
        default=256 * 1024,
        gt=0,
        description="Kafka `fetch.min.bytes`: the broker lets this much gather, so that each event costs less, ...",
    )
    fetch_max_wait_ms: int = Field(
        default=10, ge=0, description="Kafka `fetch.max.wait.ms`: ... but for no longer than this"
    )
    linger_ms: float = Field(default=5.0, ge=0, description="how long a score waits for others to be sent with it")
    instance_id: str | None = Field(
        default=None, description="Kafka `group.instance.id`: a restart within the session timeout moves no partition"
    )
    session_timeout_seconds: float = Field(
        default=10.0, gt=0, description="silence after which Kafka gives a worker's partitions to others"
    )


class StreamSettings(BaseModel):
    """Everything that the stream application is built from."""

    model_config = ConfigDict(frozen=True)

    client_config: Mapping[str, Any]
    """The librdkafka properties that reach the cluster; the Faust consumer's are derived from them."""
    topics: Topics
    partitions: int
    source_identity: str
    """What tells the events topic from an earlier one of its name, whose offsets mean nothing in this one."""
    worker: WorkerSettings
