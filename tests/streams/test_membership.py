"""How long a worker asks a group that refuses it, and what it says when it ends."""

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, InconsistentGroupProtocolError, KafkaError

from service.liveness import Liveness
from streams.membership import PATIENCE_SECONDS, RETRY_SECONDS, Membership
from streams.transport import FencedInstanceIdError, GroupMaxSizeReachedError


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ends() -> list[str]:
    return []


@pytest.fixture
def membership(clock, ends) -> Membership:
    return Membership("shop", "wk-0", Liveness(clock), lambda failure: ends.append(str(failure)), clock=clock)


def refuse(membership, clock, error, seconds) -> None:
    """Refuse it at once, and again each time that it asks, for so long."""
    for _ in range(int(seconds / RETRY_SECONDS) + 1):
        membership.refused(error)
        clock.now += RETRY_SECONDS


def test_a_refusal_is_asked_again_for_less_than_a_minute(membership, clock, ends):
    refuse(membership, clock, InconsistentGroupProtocolError(), PATIENCE_SECONDS - RETRY_SECONDS)
    assert not ends
    assert membership.liveness.refusal == "InconsistentGroupProtocolError"
    membership.refused(InconsistentGroupProtocolError())
    (line,) = ends
    assert line.startswith("Kafka's consumer group shop refused this worker for 45 seconds (InconsistentGroupProtocol")
    assert "\n" not in line


def test_refusals_with_a_membership_in_between_do_not_add_up(membership, clock, ends):
    for _ in range(5):
        refuse(membership, clock, InconsistentGroupProtocolError(), PATIENCE_SECONDS / 2)
        clock.now += 60
    assert not ends


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (InconsistentGroupProtocolError(), "another program has joined consumer group shop"),
        (GroupAuthorizationFailedError("shop"), "allow this user `Read` on group shop"),
        (KafkaError(repr(GroupMaxSizeReachedError())), "the broker's `group.max.size`"),
        (KafkaError("something new"), "something new): `cartcast doctor`"),
    ],
)
def test_each_refusal_says_what_to_do(membership, clock, ends, error, advice):
    refuse(membership, clock, error, PATIENCE_SECONDS)
    assert advice in ends[0]


def test_whose_instance_id_another_worker_uses_ends_at_once(membership, ends):
    membership.refused(KafkaError(f"Unexpected exception in heartbeat task: {FencedInstanceIdError()!r}"))
    assert ends[0].startswith("worker.instance_id wk-0 is used by another worker")


def test_a_client_that_will_never_join_again_ends_the_worker_at_once(membership, ends):
    membership.broke(KafkaError("Unexpected error during coordination AssertionError()"))
    assert "AssertionError" in ends[0]
