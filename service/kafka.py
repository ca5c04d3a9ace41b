"""What every client of Kafka shares: where librdkafka logs, failures in words, topic identity, and record headers."""

import hashlib
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol, cast

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from service.errors import RefusedError, UnavailableError
from service.liveness import Liveness
from service.tls import CONNECT_SECONDS, client_context, tls_failure
from service.tls import why_tls_fails as why_tls_fails_at

VARIABLES: Final = "CARTCAST_KAFKA__"
TIMEOUT_SECONDS = 8.0
SIGN_OF_LIFE_MS = 2_000
_LOOK_SECONDS: Final = 1.0
"""How long to wait for an answer before looking whether one can still come."""
_REPEAT_SECONDS: Final = 60.0
_MOST_LINES: Final = 1000
_PREFIX: Final = re.compile(r"^\w+://[^ ]+: ")
_SUFFIX: Final = re.compile(r" \(after .*$", re.DOTALL)
_BAD_CREDENTIALS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_NOT_ALLOWED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_REFUSALS: Final = _BAD_CREDENTIALS | _NOT_ALLOWED | {KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL}
_FOREIGN_MEMBERS: Final = frozenset({KafkaError.INCONSISTENT_GROUP_PROTOCOL, KafkaError.GROUP_MAX_SIZE_REACHED})


# Logging


class Repeats(logging.Filter):
    """Drops what was logged within the last minute: a broker is tried ten times a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        line, now = _SUFFIX.sub("", record.getMessage()), self._clock()
        if now - self._logged_at.get(line, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
            return False
        if len(self._logged_at) >= _MOST_LINES:
            self._logged_at.clear()
        self._logged_at[line] = now
        return True


_librdkafka: Final = logging.getLogger("librdkafka")
_repeats: Final = Repeats()
for _name in (
    *("librdkafka", "aiokafka", "aiokafka.conn", "aiokafka.consumer.fetcher"),
    *("aiokafka.consumer.group_coordinator", "aiokafka.producer.sender"),
):
    logging.getLogger(_name).addFilter(_repeats)  # a filter is not asked about what a logger below logs


def logged(client_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a long-lived client: librdkafka logs with everything else, each line once a minute."""
    return {**client_config, "logger": _librdkafka}


def heard(client_config: Mapping[str, Any], liveness: Liveness) -> dict[str, Any]:
    """Return the properties of a long-lived consumer: `logged`, and `liveness` turns as long as its client gets on.

    The client's own thread reports statistics, and whoever polls the consumer hears of it. Its threads may wait for
    each other for ever after a connection broke (librdkafka#5476): then the consumer is polled, and hands out nothing.
    """
    return {
        **logged(client_config),
        "statistics.interval.ms": SIGN_OF_LIFE_MS,
        "stats_cb": lambda _statistics: liveness.turned(),
    }


def silent(client_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a client whose caller reports every failure itself."""
    return {**client_config, "log_level": 0, "error_cb": lambda _error: None}


# Failures


def reason(failure: KafkaException) -> str:
    """Return what failed in words, to go on behind."""
    return in_words(failure.args[0])


def in_words(error: KafkaError) -> str:
    """Return librdkafka's words, and where it says what the brokers must allow, to go on behind."""
    words = str(error.str()).rstrip(".")
    return f"{words}, see the ACLs in docs/security-settings.md" if error.code() in _NOT_ALLOWED else words


def where(client_config: Mapping[str, Any]) -> str:
    """Return the cluster's address as it was configured."""
    return str(client_config["bootstrap.servers"])


@contextmanager
def settings_accepted() -> Iterator[None]:
    """Turn a client's refusal of its properties into RefusedError."""
    try:
        yield
    except KafkaException as failure:
        raise RefusedError(
            f"Kafka's client refuses its settings ({reason(failure)}): correct the kafka settings"
        ) from None


def raise_if_refused(error: KafkaError) -> None:
    """Raise RefusedError if waiting will not change `error`."""
    if error.code() == KafkaError.FENCED_INSTANCE_ID or "fenced" in error.str():
        raise RefusedError(
            "another process came into the consumer group under this one's sink.instance_id, and has its partitions: "
            "give each its own"
        )
    if error.code() in _FOREIGN_MEMBERS:
        raise RefusedError(
            f"the consumer group does not let this process in ({error.str()}): another program is in it, or too many "
            "members; look who is (`kafka-consumer-groups --describe --members`), and give each program its own group"
        )
    if error.code() in _REFUSALS or error.fatal():
        raise RefusedError(f"Kafka refuses ({error.str()}): correct the {VARIABLES} settings, or the broker's ACLs")


def end_if_broken(error: KafkaError) -> None:
    """Raise RefusedError after an error of librdkafka's from which its client does not recover, else log it.

    As `error_cb` of a client, for whose caller that is: librdkafka raises in its name what this raises. A connection's
    end is in the client's log already.
    """
    if error.code() == KafkaError._CRIT_SYS_RESOURCE:
        raise RefusedError(
            f"Kafka's client could not start a thread and will not recover ({error.str()}): look whether memory or the "
            "number of processes is limited, then start again"
        )
    if error.code() != KafkaError._TRANSPORT:
        _librdkafka.error(error.str())


# Administration


class Administrator(AdminClient):
    """An administrator that remembers what librdkafka reported while it tried to connect."""

    def __init__(self, client_config: Mapping[str, Any]) -> None:
        self.refusal = ""
        self.fails_in_tls = False
        super().__init__(silent(client_config) | {"error_cb": self._remember})

    def _remember(self, error: KafkaError) -> None:
        if error.code() in _BAD_CREDENTIALS and not self.refusal:
            self.refusal = _SUFFIX.sub("", _PREFIX.sub("", error.str())).rstrip(". ")
        if error.code() == KafkaError._SSL or "SSL" in _PREFIX.sub("", error.str()):
            self.fails_in_tls = True


def open_admin(client_config: Mapping[str, Any]) -> Administrator:
    """Return a client; raises RefusedError if it refuses its settings."""
    if str(client_config.get("security.protocol", "")).endswith("SSL"):
        ssl_context(client_config)  # explains what is wrong with a file better than librdkafka does
    with settings_accepted():
        return Administrator(client_config)


def metadata(admin: Administrator, client_config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the client exports no type
    """Return brokers and all topics; raises UnavailableError if Kafka does not answer, RefusedError if it refuses."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            # All topics, because asking for one by name creates it on a cluster with auto.create.topics.enable.
            return admin.list_topics(timeout=min(_LOOK_SECONDS, TIMEOUT_SECONDS))
        except KafkaException as failure:
            admin.poll(0)
            _raise_if_it_refused(admin, client_config)
            if time.monotonic() >= deadline:
                raise UnavailableError(_no_answer(client_config, reason(failure))) from None


def require_access(client_config: Mapping[str, Any]) -> None:
    """Raise RefusedError if the brokers refuse this client; that one does not answer yet is no refusal."""
    admin, deadline = open_admin(client_config), time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            admin.list_topics(timeout=_LOOK_SECONDS)
        except KafkaException:
            admin.poll(0)
            _raise_if_it_refused(admin, client_config)
            if not listens(client_config):
                return
        else:
            return


class TopicIdentity:
    """The id that Kafka gave a topic when it was created: one that is deleted and created again has another."""

    def __init__(self, client_config: Mapping[str, Any], topic: str) -> None:
        self._config = silent(client_config)
        self._admin: AdminClient | None = None
        self._topic = topic

    def __call__(self) -> str:
        """Return the id; raises RefusedError if there is no such topic, UnavailableError if nobody answers."""
        admin, self._admin = self._admin or AdminClient(self._config), None  # one that failed may have broken for good
        asked = admin.describe_topics(TopicCollection([self._topic]), request_timeout=TIMEOUT_SECONDS)
        try:
            topic_id = str(asked[self._topic].result(2 * TIMEOUT_SECONDS).topic_id)
        except TimeoutError:
            raise UnavailableError(f"Kafka does not describe topic {self._topic} (timed out)") from None
        except KafkaException as failure:
            error = failure.args[0]
            if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise RefusedError(f"topic {self._topic} does not exist: run `cartcast topics create`") from None
            raise_if_refused(error)
            raise UnavailableError(f"Kafka does not describe topic {self._topic} ({error.str()})") from None
        self._admin = admin
        return topic_id


def _raise_if_it_refused(admin: Administrator, client_config: Mapping[str, Any]) -> None:
    if admin.refusal:
        name = client_config.get("sasl.username") or client_config.get("sasl.oauthbearer.client.id")
        raise RefusedError(
            f"Kafka at {where(client_config)} refuses {f'user {name}' if name else 'this client'} ({admin.refusal}): "
            f"correct {_credentials(client_config)}"
        )
    if admin.fails_in_tls and (words := why_tls_fails(client_config)) is not None:
        raise RefusedError(f"Kafka {words}")


def _credentials(client_config: Mapping[str, Any]) -> str:
    if client_config.get("sasl.mechanism") == "OAUTHBEARER":
        return f"the {VARIABLES}OAUTH_ settings"
    return f"{VARIABLES}SASL_USERNAME, {VARIABLES}SASL_PASSWORD and {VARIABLES}SASL_MECHANISM"


def _no_answer(client_config: Mapping[str, Any], why: str) -> str:
    protocol = client_config.get("security.protocol", "PLAINTEXT")
    if listens(client_config):
        return (
            f"Kafka at {where(client_config)} does not answer ({why}), but something listens there: correct "
            f"{VARIABLES}BOOTSTRAP_SERVERS, or {VARIABLES}SECURITY_PROTOCOL ({protocol})"
        )
    return (
        f"Kafka at {where(client_config)} does not answer ({why}): start it (`cartcast up`), "
        f"or correct {VARIABLES}BOOTSTRAP_SERVERS"
    )


# TLS, with librdkafka's properties


def ssl_context(client_config: Mapping[str, Any]) -> ssl.SSLContext:
    """Return what trusts and shows the same certificates as librdkafka does; raises RefusedError."""
    try:
        context = client_context(
            ca_cert=client_config.get("ssl.ca.location"),
            client_cert=client_config.get("ssl.certificate.location"),
            client_cert_key=client_config.get("ssl.key.location"),
            key_password=client_config.get("ssl.key.password", ""),
        )
    except OSError as failure:
        words = tls_failure(failure, VARIABLES) or f"cannot be asked: a file of certificates cannot be read ({failure})"
        raise RefusedError(f"Kafka {words}") from None
    context.check_hostname = client_config.get("ssl.endpoint.identification.algorithm") != "none"
    return context


def why_tls_fails(client_config: Mapping[str, Any]) -> str | None:
    """Return what is wrong with TLS at the first broker with which something is, to go on behind `Kafka`."""
    context = ssl_context(client_config)
    for host, port in _addresses(client_config):
        if (words := why_tls_fails_at(host, port, context, VARIABLES)) is not None:
            return f"at {host}:{port} {words}"
    return None


def listens(client_config: Mapping[str, Any]) -> bool:
    """Whether anything takes connections where the brokers should be."""
    for address in _addresses(client_config):
        with suppress(OSError), socket.create_connection(address, timeout=CONNECT_SECONDS):
            return True
    return False


def _addresses(client_config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for server in where(client_config).split(","):
        host, _, port = server.strip().rpartition(":")
        if port.isdigit():
            yield host.rpartition("//")[2].strip("[]"), int(port)


# Record headers

Headers = list[tuple[str, str | bytes | None]]
"""Headers of a record that is to be produced."""


class HasHeaders(Protocol):
    """A consumed record."""

    def headers(self) -> Any: ...  # noqa: ANN401 - the client exports no type


def headers_of(record: HasHeaders) -> dict[str, bytes | None]:
    """Return the headers by name; none if one's name is not UTF-8, because the client hands out none of them then."""
    try:
        return dict(cast("Iterable[tuple[str, bytes | None]]", record.headers() or ()))
    except SystemError:
        return {}


def header_text(headers: Mapping[str, bytes | None], name: str) -> str:
    """Return a header as text; empty if it is missing."""
    return (headers.get(name) or b"").decode(errors="replace")


def source_headers(topic: str, partition: int, offset: int) -> Headers:
    """Return the headers that name a source record: `topic`, `partition`, `offset`, each as ASCII."""
    return [("topic", topic.encode()), ("partition", b"%d" % partition), ("offset", b"%d" % offset)]


def dead_letter_headers(source: Headers, *, reason: str, error: str) -> Headers:
    """Return the headers of a dead letter: where the refused record lies, and what is wrong with it."""
    return [*source, ("reason", reason.encode()), ("error", error.encode())]


CUT_BYTES: Final = 1_000
"""How much of a key, a value and an error a cut dead letter holds."""
_ITS_OWN_FAULT: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError._INVALID_ARG,
        KafkaError._BAD_MSG,
    }
)


def refuses_the_record(error: KafkaError) -> bool:
    """Whether a record was not taken for what it is, so that it never will be: too large, a bad time or header.

    A broker refuses a batch as a whole: only a record that was sent alone is sure to be the one.
    """
    return error.code() in _ITS_OWN_FAULT


def cut_dead_letter(
    key: bytes | None, value: bytes | None, headers: Headers
) -> tuple[bytes | None, bytes | None, Headers]:
    """Return key, value and headers of a dead letter that always fits, in the place of one that a topic refuses.

    Key and value are their first bytes; the headers `bytes` and `sha256`, which only cut letters have, are those of the
    whole value.
    """
    short: Headers = [(name, text[:CUT_BYTES] if text else text) for name, text in headers]
    whole = value or b""
    size: Headers = [("bytes", b"%d" % len(whole)), ("sha256", hashlib.sha256(whole).hexdigest().encode())]
    return key and key[:CUT_BYTES], value and value[:CUT_BYTES], short + size
