"""A worker as a member of Kafka's consumer group: how it joins and stays, and what it does when it is refused.

It asks again for a while, then ends and says why. Each override of an aiokafka internal (aiokafka 0.14) says what it
replaces and why; `tests/streams/test_membership.py` fails when a new aiokafka no longer has what it relies on.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog
from aiokafka.consumer import consumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import BrokerResponseError, KafkaError, kafka_errors
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.types import Int16, Int32, Schema, String

from service.errors import CartcastError, RefusedError
from service.liveness import Liveness

RETRY_SECONDS: Final = 3.0
"""How long a refused worker waits before it asks to join again."""
PATIENCE_SECONDS: Final = 45.0
"""How long it asks: what refuses it may be gone by then, and who watches it knows within a minute."""
_FORGOTTEN_SECONDS: Final = 5 * RETRY_SECONDS
"""A refusal so long after the one before is a new one."""

_TRIES, _TRY_SECONDS = 10, 0.2
"""How often, and after which pauses, a leader asks for the partitions of topics before it gives up dividing them; as
often a member joins again if some were left out."""

FENCED: Final = "FencedInstanceIdError"
FULL: Final = "GroupMaxSizeReachedError"

_ADVICE: Final = {
    "InconsistentGroupProtocolError": "another program has joined consumer group {group}, which is the workers' alone: "
    "stop it or give it a group of its own (`cartcast doctor` names the group's members)",
    "GroupAuthorizationFailedError": "allow this user `Read` on group {group} (docs/security-settings.md)",
    "TopicAuthorizationFailedError": "allow this user `Read` on the topics of this application "
    "(docs/security-settings.md)",
    FULL: "group {group} has as many members as the broker's `group.max.size` allows: raise it or run fewer workers",
    "InvalidSessionTimeoutError": "the broker's `group.min.session.timeout.ms` and `group.max.session.timeout.ms` do "
    "not allow worker.session_timeout_seconds: change one of them",
    "InvalidGroupIdError": "Kafka takes no group of the name {group}: set another kafka.topic_prefix",
}
"""By the name of aiokafka's error."""

_log: Final = structlog.get_logger()


@dataclass
class Membership:
    """Judges the errors with which the group refuses this worker; for the thread of the Kafka client alone.

    `end` is called with what the worker ends with; it may be called more than once.
    """

    group: str
    instance_id: str | None
    liveness: Liveness
    end: Callable[[CartcastError], None]
    partitions: int = 1
    """How many each topic has that the group divides."""
    divided: int = 1
    """How many the group has divided among its members, when this one heard of it last."""
    patience_seconds: float = PATIENCE_SECONDS
    clock: Callable[[], float] = time.monotonic
    _since: float = 0.0
    _last: float | None = None

    def refused(self, error: Exception) -> None:
        """Note that joining, or a heartbeat, was refused; ends the worker if that cannot or does not change."""
        now, text = self.clock(), f"{error!r} {error}"
        if FENCED in text:
            self.end(RefusedError(self._fenced()))
            return
        reason = next((name for name in _ADVICE if name in text), str(error))
        advice = _ADVICE.get(reason, "`cartcast doctor` asks Kafka the same").format(group=self.group)
        if self._last is None or now - self._last > _FORGOTTEN_SECONDS:
            self._since = now
            _log.warning("refused by the consumer group, will ask again", group=self.group, why=reason, advice=advice)
        self._last = now
        self.liveness.refused(reason)
        if now - self._since >= self.patience_seconds:
            self.end(RefusedError(self._line(f"for {self.patience_seconds:g} seconds", reason, advice)))

    def broke(self, error: Exception) -> None:
        """Note that the client's own book-keeping of the group ended, after which it never joins again."""
        self.end(RefusedError(self._line("for ever", str(error), "start it again; no event is lost")))

    def _line(self, how_long: str, reason: str, advice: str) -> str:
        return f"Kafka's consumer group {self.group} refused this worker {how_long} ({reason}): {advice}"

    def _fenced(self) -> str:
        return (
            f"worker.instance_id {self.instance_id} is used by another worker, which has taken this one's place in "
            f"consumer group {self.group}: give each worker an instance_id of its own; no event is lost"
        )


class FencedInstanceIdError(BrokerResponseError):  # type: ignore[misc]
    """Another member has joined under this one's `group.instance.id`; aiokafka does not know the code."""

    errno = 82
    message = FENCED


class GroupMaxSizeReachedError(BrokerResponseError):  # type: ignore[misc]
    """The group has `group.max.size` members; aiokafka does not know the code."""

    errno = 81
    message = FULL


class StaticHeartbeatResponse(Response):  # type: ignore[misc]
    """Heartbeat response, version 3."""

    API_KEY = HeartbeatRequest.API_KEY
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class StaticHeartbeatStruct(RequestStruct):  # type: ignore[misc]
    """Heartbeat request, version 3, which names the `group.instance.id` (KIP-345)."""

    API_KEY = HeartbeatRequest.API_KEY
    API_VERSION = 3
    RESPONSE_TYPE = StaticHeartbeatResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class StaticHeartbeat(Request[StaticHeartbeatStruct]):  # type: ignore[misc]
    """The heartbeat of a static member, which alone Kafka answers with FENCED_INSTANCE_ID."""

    API_KEY = HeartbeatRequest.API_KEY

    def __init__(self, coordinator: GroupCoordinator) -> None:
        self._member = (coordinator.group_id, coordinator.generation, coordinator.member_id)
        self._instance_id = coordinator._group_instance_id

    def build(self, request_struct_class: type[StaticHeartbeatStruct]) -> StaticHeartbeatStruct:
        return request_struct_class(*self._member, self._instance_id)


class MemberCoordinator(GroupCoordinator):  # type: ignore[misc] # aiokafka has no types
    """A member of the group that is told why it is refused, and asks again."""

    member_id: str

    def __init__(self, membership: Membership, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - aiokafka's arguments
        self._membership = membership
        self._joins_left = _TRIES
        super().__init__(*args, **kwargs)

    async def _coordination_routine(self) -> None:
        """Adds to: the routine that joins and stays in the group. Why: nobody is told when it breaks."""
        try:
            await super()._coordination_routine()
        except KafkaError as error:
            self._membership.broke(error)
            raise

    async def _push_error_to_user(self, exc: KafkaError) -> None:
        """Replaces: waiting until somebody has read the error. Why: Faust never does, and the member never rejoins."""
        self._membership.refused(exc)
        await asyncio.wait([self._closing], timeout=RETRY_SECONDS)
        self.request_rejoin()

    async def _on_join_complete(self, *joined: Any) -> None:  # noqa: ANN401
        """Adds to: taking an assignment. Why: who comes back under its instance id gets the one that it had.

        After partitions were added it lacks those, and as Kafka has named them by then nothing changes any more: nobody
        would ever read them. When the group's leader joins again, the partitions are divided anew.
        """
        await super()._on_join_complete(*joined)
        if self._membership.divided >= self._membership.partitions:
            self._joins_left = _TRIES
        elif self._joins_left:
            self._joins_left -= 1
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self.request_rejoin)

    async def _perform_assignment(self, response: Any) -> Any:  # noqa: ANN401
        """Adds to: dividing the partitions, as the group's leader. Why: Kafka may not name everything yet.

        A broker that has just started leaves topics out, and Faust then assigns nothing to anybody; one that has not
        heard of new partitions leaves those out, and nobody reads them for minutes. Raises KafkaError, which is a
        refusal, if it goes on so.
        """
        for _ in range(_TRIES):
            missing = [topic for topic in self._subscription.topics if self._known(topic) < self._membership.partitions]
            if not missing:
                return await super()._perform_assignment(response)
            await asyncio.wait([self._client.force_metadata_update()], timeout=_TRY_SECONDS)
            await asyncio.wait([self._closing], timeout=_TRY_SECONDS)
        raise KafkaError(f"Kafka does not name all partitions of {', '.join(sorted(missing))}")

    def _known(self, topic: str) -> int:
        """Return how many partitions of a topic Kafka has named."""
        return len(self._cluster.partitions_for_topic(topic) or ())

    async def _send_req(self, request: Any) -> Any:  # noqa: ANN401
        """Adds to: asking the coordinator. Why: only a heartbeat that names the static member learns of another."""
        if isinstance(request, HeartbeatRequest) and self._group_instance_id is not None:
            request = StaticHeartbeat(self)
        return await super()._send_req(request)

    def reset_generation(self) -> None:
        """Adds to: forgetting a membership that the group no longer knows.

        Why: a static member that joins without its member id takes the place of whoever has the instance id, in turn
        for ever. With it, it is told that it is fenced; Kafka asks to join without it if nobody has the instance id.
        """
        known, had_joined = self.member_id, self.generation > 0
        super().reset_generation()
        if self._group_instance_id is not None and had_joined:
            self.member_id = known


def join_groups_as(membership: Membership) -> None:
    """Make aiokafka's consumer join with the coordinator above.

    Replaces: its own, which it makes by the name in its module; there is one consumer in a process.
    """
    kafka_errors.update({error.errno: error for error in (FencedInstanceIdError, GroupMaxSizeReachedError)})
    consumer.GroupCoordinator = partial(MemberCoordinator, membership)
