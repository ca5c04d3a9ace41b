"""A small real model for the stream side's tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future

import pytest
import torch
from confluent_kafka import Producer

from model.checkpoint import Calibration, Checkpoint
from model.horizons import HORIZONS
from model.inference import InferenceWorker, Scorer
from model.lstm import LSTMConfig, PropensityLSTM
from model.states import StateCodec
from streams.lanes import Lane
from streams.observe.counts import WorkerCounts
from streams.partition_states import PartitionStates
from streams.pipeline import Pipeline
from streams.scoring import Scoring
from tests.streams.fetches import PARTITION, SOURCE_CODE, START_MS, TOPICS
from tests.streams.memory_publisher import MemoryPublisher, states_of


class ThisThread(Executor):
    """Works at once: what a lane does next does not depend on a thread."""

    def submit(self, work: Callable[..., object], *arguments: object) -> Future:  # type: ignore[override]
        future = Future[object]()
        try:
            future.set_result(work(*arguments))
        except Exception as failure:  # noqa: BLE001 - whoever waits for the future is told
            future.set_exception(failure)
        return future


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    """A model with random weights, the same in every run."""
    torch.manual_seed(7)
    model = PropensityLSTM(LSTMConfig(hidden_size=8)).eval()
    return Checkpoint("lstm8-test", model, Calibration.identity(len(HORIZONS)), metrics={}, training={})


@pytest.fixture(scope="session")
def other_checkpoint() -> Checkpoint:
    """Other weights than `checkpoint`."""
    torch.manual_seed(8)
    model = PropensityLSTM(LSTMConfig(hidden_size=8)).eval()
    return Checkpoint("lstm8-other", model, Calibration.identity(len(HORIZONS)), metrics={}, training={})


@pytest.fixture
def inference(checkpoint: Checkpoint) -> Iterator[InferenceWorker]:
    worker = InferenceWorker(Scorer(checkpoint, torch.device("cpu")), max_events=10_000)
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def pipeline(checkpoint, inference) -> Pipeline:
    codec, counts = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code), WorkerCounts()
    return Pipeline(
        topics=TOPICS,
        publisher=MemoryPublisher(),
        scoring=Scoring(inference, codec, SOURCE_CODE),
        model_version=checkpoint.version,
        clock_ms=lambda: START_MS,
        counts=counts,
        threads=ThisThread(),
    )


@pytest.fixture
async def states(pipeline) -> PartitionStates:
    restored = asyncio.get_running_loop().create_future()
    restored.set_result(None)
    return states_of(pipeline, PARTITION, restored)


@pytest.fixture
def failures() -> list[Exception]:
    return []


@pytest.fixture
async def lane(pipeline, states, failures) -> AsyncIterator[Lane]:
    lane = Lane(pipeline, states, failures.append)
    yield lane
    pipeline.publisher.holds = False
    await pipeline.publisher.confirm()
    await lane.close()


@pytest.fixture(scope="session")
def mock_kafka() -> Iterator[dict[str, object]]:
    """Client configuration of librdkafka's own broker, which lives in this process and starts at once.

    Topics are there when they are first used, with four partitions.
    """
    cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0})
    (broker,) = cluster.list_topics().brokers.values()
    yield {"bootstrap.servers": f"{broker.host}:{broker.port}", "log_level": 0}
    del cluster
