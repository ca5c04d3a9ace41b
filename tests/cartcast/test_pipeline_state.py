"""What Kafka tells of consumer groups, in words and with what to do."""

import pytest
from confluent_kafka import ConsumerGroupState, TopicPartition
from confluent_kafka.admin import ConsumerGroupDescription, MemberAssignment, MemberDescription

from cartcast.pipeline_state import group_state, readers
from service.kafka_settings import Topics
from sinks.observe.lag import PartitionLag

WORKERS, SINK, LETTERS = readers(Topics(prefix="shop"))


def member(client_id, *partitions, topic="shop.events", instance=None):
    assigned = MemberAssignment([TopicPartition(topic, number) for number in partitions])
    return MemberDescription("id", client_id, "/10.0.0.7", assigned, instance)


def described(*members, state=ConsumerGroupState.STABLE):
    return ConsumerGroupDescription("shop", False, list(members), "faust", state, None)


def lags(*committed, end=10, topic="shop.events"):
    return [PartitionLag("shop", topic, number, done, end, end - max(done, 0)) for number, done in enumerate(committed)]


def state(members, committed, first=0, reader=WORKERS, **kafka):
    numbers = lags(*committed, topic=reader.topic)
    return group_state(reader, described(*members, **kafka), numbers, {(reader.topic, n): first for n in range(9)})


def test_the_groups_of_a_pipeline_are_those_of_its_workers_and_its_sink():
    assert [(each.group, each.topic) for each in (WORKERS, SINK, LETTERS)] == [
        ("shop", "shop.events"),
        ("shop-sink", "shop.scores"),
        ("shop-sink-dead-letters", "shop.dead-letters"),
    ]


def test_it_is_told_who_has_what_and_how_much_waits():
    found = state([member("faust-0.15.3", 0, 1, 3, instance="w-0"), member("faust-0.15.3", 2)], [10, 10, 7, 9])
    assert found.problems() == []
    assert found.as_line() == "stable, w-0 @ 10.0.0.7 has 0-1, 3; faust-0.15.3 @ 10.0.0.7 has 2; 4 records wait"


@pytest.mark.parametrize(("committed", "waiting"), [([-1, -1], 20), ([10, 10], 0), ([10, 4], 6)])
def test_that_nobody_runs_is_a_problem_if_records_wait_or_somebody_ran(committed, waiting):
    found = state([], committed, state=ConsumerGroupState.EMPTY)
    assert found.problems() == [f"nobody runs, and {waiting} records wait: run `cartcast worker`"]


def test_that_nobody_runs_before_the_first_record_is_none():
    found = group_state(SINK, described(state=ConsumerGroupState.DEAD), lags(-1, end=0), {("shop.events", 0): 0})
    assert (found.problems(), found.as_line()) == ([], "nobody runs yet; nothing waits")


@pytest.mark.parametrize(("reader", "client_id"), [(WORKERS, "rdkafka"), (SINK, "rdkafka"), (SINK, "console-consumer")])
def test_strangers_in_a_group_are_named(reader, client_id):
    found = state([member(client_id, 0, topic=reader.topic)], [10], reader=reader)
    (problem,) = found.problems()
    assert problem.startswith(f"{client_id} @ 10.0.0.7 in group {reader.group} is no part of Cartcast")


def test_a_partition_that_nobody_has_is_named():
    (problem,) = state([member("faust-1", 0)], [10, 10, 10]).problems()
    assert problem == "nobody has partition 1-2 of shop.events: start workers again, who then take it"


def test_partitions_on_their_way_are_no_problem():
    moving = state([member("faust-1")], [10, 10], state=ConsumerGroupState.PREPARING_REBALANCING)
    assert (moving.problems(), moving.as_line()) == ([], "preparing rebalancing, nobody has 0-1; 0 records wait")


def test_records_that_were_deleted_before_they_were_read_are_counted_by_offset():
    found = state([member("faust-1", 0, 1)], [3, 9], first=8)
    assert found.deleted == 5
    (problem,) = found.problems()
    assert problem.startswith("5 records of shop.events partition 0 were deleted unread, offsets 3 to 7: ")


def test_what_was_deleted_before_a_group_began_is_not():
    assert state([member("faust-1", 0)], [-1], first=8).deleted == 0


def test_recommendations_have_a_reader_where_they_are_made():
    more = readers(Topics(prefix="shop"), recommends=True)
    assert more[:3] == readers(Topics(prefix="shop"))
    assert (more[3].group, more[3].topic) == ("shop-sink-recommendations", "shop.recommendations")
