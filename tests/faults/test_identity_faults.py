"""People who log in, through workers that are killed, frozen, join and leave: each is one person, merged once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.people import OneProcess, difference, latest_states, people
from tests.harness.pipeline import Pipeline, pipelines, shoppers

pytestmark = pytest.mark.integration


@pytest.fixture
def pipeline(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    yield from pipelines(kafka, topic_prefix, tmp_path)


def wait_for_merges(pipeline: Pipeline, reference: OneProcess) -> None:
    """Wait until no anonymous id has an event left that a user claimed."""

    def are_merged() -> bool:
        states = latest_states(pipeline, reference.codec)
        left = sum(int(state["sequence"]["events"][0]) for name, state in states.items() if name[:6] == "device")
        wanted = sum(
            int(state["sequence"]["events"][0]) for name, state in reference.states.items() if name[:6] == "device"
        )
        return left == wanted and states.keys() >= reference.states.keys()

    pipeline.wait_until(are_merged, "the merges")


def check_states(pipeline: Pipeline, reference: OneProcess) -> None:
    states = latest_states(pipeline, reference.codec)
    assert states.keys() == reference.states.keys()
    differing = {name: difference(states[name], wanted) for name, wanted in reference.states.items()}
    assert {name: why for name, why in differing.items() if why} == {}


def test_every_shopper_is_one_person_as_in_one_process(pipeline: Pipeline) -> None:
    events = people(shoppers(3000, users=150, seed=31), seed=31)
    reference = OneProcess()
    reference.apply(events)
    assert reference.merges > 100
    first = pipeline.start_worker(CARTCAST_WORKER__MAX_BATCH_EVENTS="50")
    pipeline.start_worker(CARTCAST_WORKER__MAX_BATCH_EVENTS="50")
    pipeline.produce(events)
    pipeline.wait_for_scores(len(reference.propensities))
    wait_for_merges(pipeline, reference)
    assert first.stop() == 0
    check_states(pipeline, reference)
