"""The settings of the Kafka cluster, the librdkafka properties that reach it, and the names of the topics."""

from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from service.pseudonyms import Pseudonyms
from service.signatures import Signatures
from service.tls import check_certificate, check_readable

_LEAST_KEY: Final = 16
_PASSWORD_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


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
    def recommendations(self) -> str:
        return f"{self.prefix}.recommendations"

    @property
    def identity(self) -> str:
        return f"{self.prefix}.identity"

    @property
    def items(self) -> str:
        return f"{self.prefix}.items"

    @property
    def forget(self) -> str:
        """Who is to be forgotten, by digests of ids, and what was done about it (`service.forget`)."""
        return f"{self.prefix}.forget"

    @property
    def changelog(self) -> str:
        """Faust's name for the changelog of the table `sequences` in the application `prefix`."""
        return f"{self.prefix}-sequences-changelog"


class KafkaSettings(BaseModel):
    """The cluster and how to speak to it; the same for every client."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = Field(
        default="127.0.0.1:9092", min_length=1, description="brokers to begin with, `HOST:PORT[,HOST:PORT]`"
    )
    topic_prefix: str = Field(
        default="cartcast",
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="what the names of all topics and consumer groups begin with",
    )
    partitions: int = Field(default=4, gt=0, description="partitions of every topic but that of items, which has one")
    replication_factor: int = Field(
        default=1,
        gt=0,
        le=32767,
        description="copies of every partition, each on a broker of its own; `topics create` sets it",
    )
    min_insync_replicas: int | None = Field(
        default=None,
        gt=0,
        description="copies that must have a record before it counts as written (`min.insync.replicas`); `topics "
        "create` sets it; if it is not set, one less than `replication_factor`, but at least 1",
    )
    retention_hours: int = Field(
        default=168,
        ge=-1,
        le=876_000,
        description="hours that events, scores, recommendations and dead letters are kept (`retention.ms`), -1 for "
        "ever; `topics create` sets it",
    )
    client_rack: str = Field(
        default="",
        max_length=200,
        description="rack or zone of this process (`client.rack`): it reads from the nearest copy, where the brokers "
        "have `replica.selector.class` set for it",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="`SSL` encrypts, `SASL_` proves who the client is; outside a machine, both"
    )
    score_keys: SecretStr = Field(
        default=SecretStr(""),
        description="keys that sign scores and recommendations, by commas, of 16 characters or more each, the same for "
        "workers and sinks: workers sign with the first (header `signature`), sinks store only what one of them "
        "signed; empty: nothing is signed",
    )
    pseudonym_key: SecretStr = Field(
        default=SecretStr(""),
        description="key of 16 characters or more under which `replay`, `send` and `POST /v1/events` replace shoppers' "
        "ids (HMAC-SHA-256), and look-ups and `forget` the ids that they are given; the same everywhere; empty: ids "
        "stay (docs/privacy.md)",
    )
    ssl_ca_location: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign the brokers' certificates; if it is not set, the system's",
    )
    ssl_certificate_location: Path | None = Field(
        default=None, description="PEM file of this client's certificate, for brokers that ask for one (mutual TLS)"
    )
    ssl_key_location: Path | None = Field(
        default=None, description="PEM file of that certificate's key; if it is not set, it stands in the same file"
    )
    ssl_key_password: SecretStr = Field(default=SecretStr(""), description="what opens that key, if it is encrypted")
    ssl_verify_hostname: bool = Field(
        default=True, description="whether a broker's certificate must hold the name under which it is reached"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        default="PLAIN", description="how the client proves who it is; `PLAIN` only over TLS: it sends the password"
    )
    sasl_username: str = Field(default="", description="user, for PLAIN and SCRAM")
    sasl_password: SecretStr = Field(default=SecretStr(""), description="that user's password")
    oauth_token_url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s@]+(/\S*)?)?$",
        description="token endpoint of the identity provider, for OAUTHBEARER (OpenID Connect client credentials)",
    )
    oauth_client_id: str = Field(default="", description="this client's name at that endpoint")
    oauth_client_secret: SecretStr = Field(default=SecretStr(""), description="this client's secret at that endpoint")
    oauth_scope: str = Field(default="", description="scope to ask that endpoint for; empty: none")
    oauth_ca_location: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign that endpoint's certificate; if it is not set, the system's",
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _holds_no_user(cls, servers: str) -> str:
        if "@" in servers:
            raise ValueError("holds a user or a password, which logs would show: set sasl_username and sasl_password")
        return servers

    @field_validator("score_keys")
    @classmethod
    def _keys_are_long(cls, keys: SecretStr) -> SecretStr:
        if any(len(key) < _LEAST_KEY for key in _parts(keys)):
            raise ValueError(f"must hold keys of {_LEAST_KEY} characters or more, by commas")
        return keys

    @field_validator("pseudonym_key")
    @classmethod
    def _key_is_long(cls, key: SecretStr) -> SecretStr:
        if 0 < len(key) < _LEAST_KEY:
            raise ValueError(f"must have {_LEAST_KEY} characters or more")
        return key

    @model_validator(mode="after")
    def _records_can_be_written(self) -> Self:
        if self.least_insync_replicas > self.replication_factor:
            raise ValueError(
                f"min_insync_replicas ({self.min_insync_replicas}) is above replication_factor "
                f"({self.replication_factor}): no record could be written"
            )
        if self.retention_hours == 0:
            raise ValueError("retention_hours is 0: give hours, or -1 to keep records for ever")
        return self

    @model_validator(mode="after")
    def _credentials_are_complete(self) -> Self:
        if self.ssl_key_location and not self.ssl_certificate_location:
            raise ValueError("ssl_key_location is set, but not ssl_certificate_location: give both")
        if self.is_sasl:
            for name in self._needed_for_sasl():
                if not _plainly(getattr(self, name)):
                    raise ValueError(f"{name} is empty, but sasl_mechanism {self.sasl_mechanism} needs it")
        return self

    def _needed_for_sasl(self) -> tuple[str, ...]:
        if self.sasl_mechanism in _PASSWORD_MECHANISMS:
            return ("sasl_username", "sasl_password")
        return ("oauth_token_url", "oauth_client_id", "oauth_client_secret")

    @property
    def signatures(self) -> Signatures:
        return Signatures(_parts(self.score_keys))

    @property
    def pseudonyms(self) -> Pseudonyms:
        return Pseudonyms(self.pseudonym_key.get_secret_value())

    @property
    def topics(self) -> Topics:
        return Topics(prefix=self.topic_prefix)

    @property
    def least_insync_replicas(self) -> int:
        """`min.insync.replicas`: as set, or what survives the loss of one broker."""
        return self.min_insync_replicas or max(1, self.replication_factor - 1)

    @property
    def is_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    @property
    def is_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL")

    @property
    def wanted_partitions(self) -> int | None:
        """The number that somebody has set; None if it is only the default."""
        return self.partitions if "partitions" in self.model_fields_set else None

    def certificates(self) -> dict[str, Path]:
        """Return the files of certificates that are used, by the name of their setting."""
        files = {"ssl_ca_location": self.ssl_ca_location, "ssl_certificate_location": self.ssl_certificate_location}
        used = files if self.is_tls else {}
        if self.is_sasl and self.sasl_mechanism == "OAUTHBEARER":
            used = {**used, "oauth_ca_location": self.oauth_ca_location}
        return {f"kafka.{name}": path for name, path in used.items() if path is not None}

    def client_config(self) -> dict[str, Any]:
        """Return the librdkafka properties that reach this cluster.

        Raises CartcastError if a file that they name cannot be read, or holds a certificate that has expired.
        """
        for name, path in self.certificates().items():
            check_certificate(name, path)
        config: dict[str, Any] = {"bootstrap.servers": self.bootstrap_servers}
        if self.security_protocol != "PLAINTEXT":
            config["security.protocol"] = self.security_protocol
        if self.is_tls:
            config |= self._tls_properties()
        if self.is_sasl:
            config |= self._sasl_properties()
        if self.client_rack:
            config["client.rack"] = self.client_rack
        return config

    def _tls_properties(self) -> dict[str, Any]:
        config: dict[str, Any] = {}
        if self.ssl_ca_location:
            config["ssl.ca.location"] = str(self.ssl_ca_location)
        if self.ssl_certificate_location:
            key = self.ssl_key_location or self.ssl_certificate_location
            check_readable("kafka.ssl_key_location", key)
            config["ssl.certificate.location"] = str(self.ssl_certificate_location)
            config["ssl.key.location"] = str(key)
            if password := self.ssl_key_password.get_secret_value():
                config["ssl.key.password"] = password
        if not self.ssl_verify_hostname:
            config["ssl.endpoint.identification.algorithm"] = "none"
        return config

    def _sasl_properties(self) -> dict[str, Any]:
        config: dict[str, Any] = {"sasl.mechanism": self.sasl_mechanism}
        if self.sasl_mechanism in _PASSWORD_MECHANISMS:
            return config | {
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password.get_secret_value(),
            }
        config |= {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": self.oauth_token_url,
            "sasl.oauthbearer.client.id": self.oauth_client_id,
            "sasl.oauthbearer.client.secret": self.oauth_client_secret.get_secret_value(),
        }
        if self.oauth_scope:
            config["sasl.oauthbearer.scope"] = self.oauth_scope
        if self.oauth_ca_location:
            config["https.ca.location"] = str(self.oauth_ca_location)
        return config


def _parts(keys: SecretStr) -> list[str]:
    return keys.get_secret_value().split(",") if keys.get_secret_value() else []


def _plainly(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
