"""People who log in, through workers that are killed, frozen, join and leave: each is one person, merged once."""

import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer

from model.events import Event
from tests.harness.people import OneProcess, difference, latest_states, people
from tests.harness.pipeline import PROPENSITIES, Pipeline, pipelines, shoppers

pytestmark = pytest.mark.integration

STOPS = """
import os, signal, sys
sys.argv = ["cartcast", "worker"]
from aiokafka import AIOKafkaProducer
from streams.fenced import ChangelogWriter
from streams.pipeline import Pipeline

encode, write, commit = Pipeline.changelog, ChangelogWriter._write, AIOKafkaProducer.commit_transaction
of_kind, transactions, seen = list(), dict(), 0

def stop_at(moment, number):
    if moment == "{moment}" and number == 3:
        os.kill(os.getpid(), signal.{signal})

def encode_and_note(pipeline, dirty):
    batches, elsewhere = encode(pipeline, dirty)
    if any(("kind", b"{kind}") in record.headers for each in dirty.outgoing for record in each.records):
        of_kind.append(elsewhere[0])
    return batches, elsewhere

async def write_or_stop(writer, batches):
    global seen
    if not any(each is noted for each in batches for noted in of_kind):
        return await write(writer, batches)
    seen += 1
    number = seen
    stop_at("before", number)
    transactions[await writer._starting] = number
    await write(writer, batches)
    stop_at("after", number)

async def commit_or_stop(producer):
    if producer in transactions:
        stop_at("within", transactions.pop(producer))
    await commit(producer)

Pipeline.changelog, ChangelogWriter._write = encode_and_note, write_or_stop
AIOKafkaProducer.commit_transaction = commit_or_stop
from cartcast.__main__ import main
main()
"""
"""A worker that stops at a moment of the third transaction with claims, or with transfers."""
SMALL_BATCHES = {"CARTCAST_WORKER__MAX_BATCH_EVENTS": "50"}


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


@pytest.fixture(scope="module")
def history() -> tuple[list[Event], OneProcess]:
    """People, and what one process makes of them."""
    events, reference = people(shoppers(3000, users=150, seed=31), seed=31), OneProcess()
    reference.apply(events)
    assert reference.merges > 100
    return events, reference


def send(pipeline: Pipeline, events: list[Event]) -> None:
    """Send events in their order, also where Kafka takes some of them at the second try."""
    records = [(event.user_id.encode(), msgspec.json.encode(event)) for event in events]
    pipeline.produce_raw(records, enable_idempotence=True)


def wait_for_merges(pipeline: Pipeline, reference: OneProcess) -> None:
    """Wait until users and anonymous ids have as many events as they should."""

    def wanted(states: dict[str, np.ndarray]) -> tuple[int, int]:
        events = {name: int(state["sequence"]["events"][0]) for name, state in states.items()}
        of_devices = sum(count for name, count in events.items() if name.startswith("device"))
        return of_devices, sum(events.values())

    of_reference = wanted(reference.states)
    pipeline.wait_for_scores(len(reference.propensities))
    pipeline.wait_until(lambda: wanted(latest_states(pipeline, reference.codec)) == of_reference, "the merges")


def check_states(pipeline: Pipeline, reference: OneProcess) -> None:
    states = latest_states(pipeline, reference.codec)
    assert states.keys() == reference.states.keys()
    differing = {name: difference(states[name], wanted) for name, wanted in reference.states.items()}
    assert {name: why for name, why in differing.items() if why} == {}


def check_anonymous_scores(pipeline: Pipeline, reference: OneProcess) -> None:
    """Every event has one score; those of anonymous ids, whose order is determined, are as in one process."""
    scores = {score["event_id"]: score for score in pipeline.scores().values()}
    assert scores.keys() == reference.propensities.keys()
    for event_id, score in scores.items():
        if score["user_id"].startswith("device"):
            published = [score[name] for name in PROPENSITIES]
            np.testing.assert_allclose(published, reference.propensities[event_id], atol=1e-4)


def test_every_shopper_is_one_person_as_in_one_process(pipeline: Pipeline, history) -> None:
    events, reference = history
    first, second = pipeline.start_worker(**SMALL_BATCHES), pipeline.start_worker(**SMALL_BATCHES)
    send(pipeline, events)
    wait_for_merges(pipeline, reference)
    assert [first.stop(), second.stop()] == [0, 0]
    check_states(pipeline, reference)
    check_anonymous_scores(pipeline, reference)


@pytest.mark.parametrize("moment", ["before", "within", "after"])
@pytest.mark.parametrize("kind", ["claim", "transfer"])
def test_a_worker_that_is_killed_in_mid_transfer_merges_all_once(pipeline, history, kind, moment) -> None:
    events, reference = history
    killed = pipeline.start_script(STOPS.format(kind=kind, moment=moment, signal="SIGKILL"), **SMALL_BATCHES)
    send(pipeline, events)
    assert killed.process.wait() == -signal.SIGKILL
    successor = pipeline.start_worker(**SMALL_BATCHES)
    wait_for_merges(pipeline, reference)
    assert successor.stop() == 0
    check_states(pipeline, reference)
    check_anonymous_scores(pipeline, reference)


@pytest.mark.parametrize("kind", ["claim", "transfer"])
def test_a_worker_that_is_frozen_in_mid_transfer_and_wakes_up_adds_nothing(pipeline, history, kind) -> None:
    events, reference = history
    frozen = pipeline.start_script(STOPS.format(kind=kind, moment="within", signal="SIGSTOP"), **SMALL_BATCHES)
    pipeline.wait_until(lambda: bool(frozen.events("ready")), "the first worker")
    send(pipeline, events)
    successor = pipeline.start_worker(**SMALL_BATCHES)
    wait_for_merges(pipeline, reference)
    frozen.process.send_signal(signal.SIGCONT)
    pipeline.wait_until(lambda: len(frozen.events("ready")) > 1, "the worker's way back")
    assert [frozen.stop(), successor.stop()] == [0, 0]
    check_states(pipeline, reference)


def test_a_worker_that_joins_and_one_that_leaves_in_mid_merge_lose_nothing(pipeline: Pipeline, history) -> None:
    events, reference = history
    first = pipeline.start_worker(**SMALL_BATCHES)
    pipeline.wait_until(lambda: bool(first.events("ready")), "the first worker")
    for start in range(0, len(events), 500):
        send(pipeline, events[start : start + 500])
        if start == 500:
            second = pipeline.start_worker(**SMALL_BATCHES)
        if start == 2000:
            assert first.stop() == 0
    wait_for_merges(pipeline, reference)
    assert second.stop() == 0
    check_states(pipeline, reference)
    check_anonymous_scores(pipeline, reference)


def test_who_logs_in_is_joined_where_events_are_sent_in_transactions(pipeline: Pipeline, history) -> None:
    """A partition ends with a marker then, which nobody hands out: what waits for it would wait for the next event."""
    events, reference = history
    worker = pipeline.start_worker()
    shop = {"transactional.id": pipeline.topics.prefix, "partitioner": "murmur2_random"}
    producer = Producer({"bootstrap.servers": pipeline.kafka, **shop})
    producer.init_transactions()
    for start in range(0, len(events), 500):
        producer.begin_transaction()
        for event in events[start : start + 500]:
            producer.produce(pipeline.topics.events, msgspec.json.encode(event), event.user_id)
        producer.commit_transaction()
    wait_for_merges(pipeline, reference)
    assert worker.stop() == 0
    check_states(pipeline, reference)
