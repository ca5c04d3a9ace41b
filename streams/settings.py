"""The settings of the worker: frozen values, read from the environment by nobody here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from model.consent import ConsentRule
from model.events import InputFormat
from service.kafka_settings import Topics
from service.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from service.signatures import NO_SIGNATURES, Signatures
from streams.lookups.answers import Goal
from streams.lookups.item_query import DEFAULT_EXCLUSIONS, DEFAULT_GOAL, EXCLUSIONS, ItemQuery, exclusions_of

DEFAULT_WEB_PORT: Final = 6066
"""Faust's own default."""


class WorkerSettings(BaseModel):
    """Tuning of one stream worker; the defaults suit a laptop and a small server alike."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    checkpoint: Path | None = Field(
        default=None, description="checkpoint directory; the one that ships with Cartcast if not given"
    )
    input_format: InputFormat = Field(
        default="cartcast",
        description="what the events topic carries: `cartcast`, `segment` or `ga4`, one event a record, keyed by user",
    )
    device: str = Field(
        default="auto",
        description="`auto` (a GPU if there is one, else the CPU), `cpu`, `cuda`, `cuda:1`; with several GPUs `auto` "
        "takes the one that the number at the end of `instance_id` says, counted round",
    )
    commit_interval_seconds: float = Field(
        default=3.0, gt=0, description="how often sequence states are written to the changelog and offsets committed"
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
    clock_ahead_seconds: float = Field(
        default=86_400.0,
        gt=0,
        description="how far an event's time may lie after its Kafka record's timestamp; one that lies further is "
        "applied, and scored, as of that timestamp: a clock far ahead would freeze its shopper's for years",
    )
    consent_purposes: str = Field(
        default="",
        description="purposes, by commas, that an event's `context.consent` must allow for it to be scored, where it "
        "is an object; empty: all that it names. An event with `consent: false` is never scored (docs/privacy.md)",
    )
    consent_required: bool = Field(
        default=False, description="whether events whose context says nothing of consent are left out as well"
    )
    state_days: float | None = Field(
        default=None,
        gt=0,
        description="days after their last event for which shoppers' states are kept, by this machine's clock; if it "
        "is not set, for ever. Leave it so while you replay an older history (docs/privacy.md)",
    )
    most_claims: int = Field(
        default=100,
        ge=0,
        le=255,
        description="how many users may claim what one anonymous id did, over its life; a kiosk's or a bot's would "
        "join strangers; 0: no events are joined",
    )
    item_rules: Path | None = Field(
        default=None,
        description="YAML or JSON file of items that are never recommended, boosts and pins (docs/next-items.md); read "
        "again when it changes",
    )
    instance_id: str | None = Field(
        default=None, description="Kafka `group.instance.id`: a restart within the session timeout moves no partition"
    )
    session_timeout_seconds: float = Field(
        default=10.0, gt=0, description="silence after which Kafka gives a worker's partitions to others"
    )
    web_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="port of the look-up API, 0 for none; if it is not set, 6066 or the next one that is free",
    )
    web_bind: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="address on which look-ups, metrics and health pages are served; `0.0.0.0`, for every one, needs "
        "`web_token`",
    )
    web_host: str | None = Field(
        default=None,
        min_length=1,
        description="name or address by which other workers reach this one; if it is not set, `web_bind`, or this "
        "machine's name if that is every address",
    )
    web_token: SecretStr = Field(
        default=SecretStr(""),
        description="what look-ups and metrics ask for as `Authorization: Bearer`, the same for all workers of a "
        "group; empty: nothing",
    )
    web_names: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._, -]*$",
        description="names, by commas, by which pages may be asked for without `web_token`, beside addresses, "
        "`localhost` and `web_host`: a name that a web page chose is refused (DNS rebinding)",
    )
    stalled_seconds: float = Field(
        default=120.0,
        ge=0,
        description="how long no commit may advance while records wait and Kafka answers, the consumer group may leave "
        "the worker without an answer, or the event loop or the reader of followed topics may stand still, before it "
        "ends itself with status 1; 0: for ever",
    )
    drain_seconds: float = Field(
        default=20.0,
        gt=0,
        description="how long SIGTERM may take to finish and commit what was begun before the worker ends without it; "
        "allow ten seconds more before you kill it",
    )

    @property
    def consent(self) -> ConsentRule:
        """Which events may be scored, and learnt from."""
        return ConsentRule(_names(self.consent_purposes), self.consent_required)

    @field_validator("checkpoint", "item_rules", mode="before")
    @classmethod
    def _none_if_empty(cls, given: object) -> object:
        """Take an empty text for none: a launcher passes it on for a variable that is not set."""
        return given or None


class TraceSettings(BaseModel):
    """OpenTelemetry; trace headers of an event go on to its score whatever is set here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    endpoint: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="URL to which the worker sends spans with OTLP over HTTP, e.g. `http://collector:4318/v1/traces`; "
        "empty: no spans; needs the extra `trace`",
    )
    sample_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="share of the fetches that get a span, 0 to 1; one with an event of a sampled trace always does",
    )


class RecommendationSettings(BaseModel):
    """Items on the topic of recommendations, one record per event that triggers it; off unless `events` names types."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    events: str = Field(
        default="",
        description="types of event, by commas, after which the worker publishes what their shopper is likeliest to "
        "want next, such as `cart,purchase`, also types of the shop's own; empty: none. The sink stores it",
    )
    every_seconds: float = Field(
        default=0.0,
        ge=0,
        le=31_536_000,
        description="at most one recommendation for a shopper in so much time of events; 0: one at every such event",
    )
    k: int = Field(default=10, ge=1, le=100, description="items of one recommendation, at most")
    goal: Goal = Field(default=DEFAULT_GOAL, description="what the shopper should do next with an item")
    exclude: str = Field(
        default=",".join(DEFAULT_EXCLUSIONS),
        pattern=rf"^(({'|'.join(EXCLUSIONS)})(,|$))*$",
        description="items that are left out, by commas: `seen` or `bought` among the shopper's last 32 events, "
        "`out_of_stock`",
    )
    per_category: int | None = Field(default=None, ge=1, le=100, description="items of one category, at most")

    @field_validator("events", "exclude", mode="before")
    @classmethod
    def _joined(cls, given: object) -> object:
        """Take a list, as a file may have one, for names by commas."""
        return ",".join(map(str, given)) if isinstance(given, list | tuple) else given

    @property
    def types(self) -> frozenset[str]:
        """The types of event; empty if recommending is off."""
        return _names(self.events)

    @property
    def query(self) -> ItemQuery:
        """Which items are wanted."""
        return ItemQuery(self.k, self.goal, exclusions_of(self.exclude), per_category=self.per_category)


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",")) - {""}


class StreamSettings(BaseModel):
    """Everything that the stream application is built from."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    client_config: Mapping[str, Any] = Field(repr=False)  # holds passwords
    """The librdkafka properties that reach the cluster; the Faust consumer's are derived from them."""
    topics: Topics
    partitions: int
    events_retention_ms: int | None = None
    """How long the events topic keeps a record; None if for ever, or if nobody says."""
    source_identity: str
    """What tells the events topic from an earlier one of its name, whose offsets mean nothing in this one."""
    worker: WorkerSettings
    trace: TraceSettings = TraceSettings()
    recommendations: RecommendationSettings = RecommendationSettings()
    signatures: Signatures = NO_SIGNATURES
    pseudonyms: Pseudonyms = NO_PSEUDONYMS
