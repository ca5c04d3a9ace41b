"""The administrator's side of Kafka: one client a task, and its failures in words."""

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from service.kafka_tls import listens, ssl_context, why_tls_fails
from streams.errors import StreamError

TIMEOUT_SECONDS = 8.0
_LOOK_SECONDS: Final = 1.0
"""How long to wait for an answer before looking whether one can still come."""
_PREFIX: Final = re.compile(r"^\w+://[^ ]+: ")
_SUFFIX: Final = re.compile(r" \(after .*$", re.DOTALL)
_REFUSALS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})


class Administrator(AdminClient):
    """An administrator that remembers what librdkafka complained of while it tried to connect."""

    def __init__(self, client_config: Mapping[str, Any]) -> None:
        self.refusal = ""
        self.fails_in_tls = False
        config: dict[str, Any] = {**client_config, "log_level": 0, "error_cb": self._hear}
        super().__init__(config)

    def _hear(self, error: KafkaError) -> None:
        if error.code() in _REFUSALS and not self.refusal:
            self.refusal = _SUFFIX.sub("", _PREFIX.sub("", error.str())).rstrip(". ")
        if error.code() == KafkaError._SSL or "SSL" in _PREFIX.sub("", error.str()):
            self.fails_in_tls = True


def open_admin(client_config: Mapping[str, Any]) -> Administrator:
    """Return a client; raises StreamError if it refuses its settings.

    `log_level` 0: what librdkafka would write to stderr arrives as one StreamError.
    """
    if str(client_config.get("security.protocol", "")).endswith("SSL"):
        ssl_context(client_config)  # says better than librdkafka what is wrong with a file
    try:
        return Administrator(client_config)
    except KafkaException as failure:
        raise StreamError(
            f"Kafka's client refuses its settings ({reason(failure)}): correct the kafka settings"
        ) from None


def metadata(admin: Administrator, client_config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the client exports no type
    """Return brokers and all topics; raises StreamError if Kafka does not answer, or as soon as it refuses."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            # All topics, because asking for one by name creates it on a cluster with auto.create.topics.enable.
            return admin.list_topics(timeout=min(_LOOK_SECONDS, TIMEOUT_SECONDS))
        except KafkaException as failure:
            admin.poll(0)
            _raise_if_refused(admin, client_config)
            if time.monotonic() >= deadline:
                raise StreamError(_no_answer(client_config, reason(failure))) from None


def refuse_if_refused(client_config: Mapping[str, Any]) -> None:
    """Raise StreamError if the brokers refuse this client; one that does not answer yet is no reason."""
    admin, deadline = open_admin(client_config), time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            admin.list_topics(timeout=_LOOK_SECONDS)
        except KafkaException:
            admin.poll(0)
            _raise_if_refused(admin, client_config)
            if not listens(client_config):
                return
        else:
            return


def _raise_if_refused(admin: Administrator, client_config: Mapping[str, Any]) -> None:
    if admin.refusal:
        raise StreamError(
            f"Kafka at {where(client_config)} refuses {_who(client_config)} ({admin.refusal}): correct "
            f"{_credentials(client_config)}"
        )
    if admin.fails_in_tls and (words := why_tls_fails(client_config)) is not None:
        raise StreamError(f"Kafka {words}")


def _who(client_config: Mapping[str, Any]) -> str:
    name = client_config.get("sasl.username") or client_config.get("sasl.oauthbearer.client.id")
    return f"user {name}" if name else "this client"


def _credentials(client_config: Mapping[str, Any]) -> str:
    if client_config.get("sasl.mechanism") == "OAUTHBEARER":
        return "the CARTCAST_KAFKA__OAUTH_ settings"
    return "CARTCAST_KAFKA__SASL_USERNAME, CARTCAST_KAFKA__SASL_PASSWORD and CARTCAST_KAFKA__SASL_MECHANISM"


def _no_answer(client_config: Mapping[str, Any], why: str) -> str:
    protocol = client_config.get("security.protocol", "PLAINTEXT")
    if listens(client_config):
        return (
            f"Kafka at {where(client_config)} does not answer ({why}), but something listens there: correct "
            f"CARTCAST_KAFKA__BOOTSTRAP_SERVERS, or CARTCAST_KAFKA__SECURITY_PROTOCOL ({protocol})"
        )
    return (
        f"Kafka at {where(client_config)} does not answer ({why}): start it (`cartcast up`), "
        "or correct CARTCAST_KAFKA__BOOTSTRAP_SERVERS"
    )


def reason(failure: KafkaException) -> str:
    """Return librdkafka's words, to go on behind."""
    return str(failure.args[0].str()).rstrip(".")


def where(client_config: Mapping[str, Any]) -> str:
    """Return the cluster's address as it was given."""
    return str(client_config["bootstrap.servers"])
