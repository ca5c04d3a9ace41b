"""What the brokers' ACLs let this user do, as the brokers say it (KIP-430)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined] # not in its __all__

from service.errors import UnavailableError
from service.kafka import reason, silent
from service.kafka_settings import Topics

_SECONDS: Final = 10.0
_READ: Final = frozenset({AclOperation.READ})
_REFUSED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})
_NOT_THERE: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND})
_BOTH: Final = frozenset({AclOperation.READ, AclOperation.WRITE})


def missing_permissions(
    client_config: Mapping[str, Any], topics: Topics, groups: Iterable[str], *, recommends: bool = False
) -> list[str]:
    """Return what a user who runs the whole pipeline needs and may not do, an operation and where each.

    Brokers that check nothing allow all. A topic or group that is not there is left out: others say so. Raises
    UnavailableError if Kafka does not answer.
    """
    admin = AdminClient(silent(client_config))
    needed = {topics.events: _READ, topics.items: _READ}
    both = (topics.scores, topics.dead_letters, topics.changelog, topics.identity, topics.forget)
    needed |= dict.fromkeys((*both, *([topics.recommendations] if recommends else [])), _BOTH)
    described = admin.describe_topics(
        TopicCollection(list(needed)), include_authorized_operations=True, request_timeout=_SECONDS
    )
    of_groups = admin.describe_consumer_groups(
        list(groups), include_authorized_operations=True, request_timeout=_SECONDS
    )
    return [
        *(line for name, future in described.items() for line in _missing(f"topic {name}", future, needed[name])),
        *(line for name, future in of_groups.items() for line in _missing(f"group {name}", future, _READ)),
    ]


def _missing(name: str, described: Any, needed: frozenset[AclOperation]) -> Iterator[str]:  # noqa: ANN401 - a future
    try:
        allowed = described.result().authorized_operations
    except KafkaException as failure:
        if (code := failure.args[0].code()) not in _REFUSED | _NOT_THERE:
            raise UnavailableError(f"Kafka does not describe {name} ({reason(failure)})") from None
        allowed = [] if code in _REFUSED else None
    if allowed is not None:
        yield from (f"{each.name.title()} on {name}" for each in sorted(needed.difference(allowed)))
