import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest
import torch

from model.checkpoint import Calibration, Checkpoint
from model.core.append import append_events
from model.core.features import NUMERIC_FEATURES, Features
from model.inference import InferenceError, InferenceRequest, InferenceWorker, Scorer, merged, select_device, split
from model.lstm import LSTMConfig, PackedFeatures, PropensityLSTM
from model.sequence import new_sequences
from model.shop import shop_of
from model.text import TOKENS
from service.errors import CheckpointError
from tests.model.shop import columns, shoppers_events

CPU = torch.device("cpu")


def request(seed: int, carried_floats: int, count: int = 20, users: int = 4) -> InferenceRequest:
    sequences = new_sequences(users)
    appended = append_events(sequences, *columns(shoppers_events(count, seed, users)))
    distinct = len(np.unique(appended.users))
    carried = np.random.default_rng(seed).normal(size=(distinct, carried_floats)).astype(np.float16)
    return InferenceRequest(appended.features, appended.users, carried)


def nothing(carried_floats: int) -> InferenceRequest:
    none = np.zeros(0, np.int64)
    numeric, no_labels = np.zeros((0, len(NUMERIC_FEATURES)), np.float32), none.reshape(0, 0)
    features = Features(numeric, none, none, none.reshape(0, TOKENS), no_labels)
    return InferenceRequest(features, none, np.zeros((0, carried_floats), np.float16))


def assert_equal(scored, expected) -> None:
    np.testing.assert_allclose(scored.propensities, expected.propensities, atol=1e-6)
    np.testing.assert_allclose(scored.carried, expected.carried, atol=1e-6)


class GatedScorer(Scorer):
    """Scores when the gate is open, raises for a request of `poison` events; remembers the sizes of its batches."""

    def __init__(self, checkpoint, poison: int = -1) -> None:
        super().__init__(checkpoint, CPU)
        self.gate, self.entered, self.sizes, self.poison = threading.Event(), threading.Event(), [], poison
        self.gate.set()

    def score(self, steps):
        self.sizes.append(len(steps.features))
        self.entered.set()
        self.gate.wait()
        if len(steps.features) == self.poison:
            raise InferenceError("no numbers today")
        return super().score(steps)

    def close_gate(self) -> None:
        self.gate.clear()
        self.entered.clear()


@pytest.fixture
def floats(checkpoint) -> int:
    return checkpoint.model.config.carried_floats


@pytest.fixture
def serve():
    """Start workers around scorers; all are stopped in the end."""
    workers = []

    def started(scorer: Scorer, max_events: int = 10_000) -> InferenceWorker:
        workers.append(InferenceWorker(scorer, max_events=max_events))
        workers[-1].start()
        return workers[-1]

    yield started
    for worker in workers:
        worker._scorer.gate.set()
        worker.stop()


def test_requests_of_many_threads_are_answered_as_if_each_were_alone(checkpoint, serve, floats):
    worker, alone = serve(GatedScorer(checkpoint)), Scorer(checkpoint, CPU)
    requests = [request(seed, floats, count=1 + seed % 30) for seed in range(120)]
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda steps: worker.submit(steps).result(), requests))
    for steps, scored in zip(requests, answers, strict=True):
        assert scored.propensities.shape == (len(steps.features), 3)
        assert_equal(scored, alone.score(steps))


def test_what_waits_is_scored_as_one_batch_up_to_the_largest(checkpoint, serve, floats):
    scorer = GatedScorer(checkpoint)
    worker = serve(scorer, max_events=50)
    scorer.close_gate()
    answers = [worker.submit(request(0, floats))]
    scorer.entered.wait()
    answers += [worker.submit(request(seed, floats)) for seed in range(1, 6)]
    scorer.gate.set()
    for answer in answers:
        answer.result()
    assert scorer.sizes[1:] == [20, 60, 40]


def test_answers_come_in_the_order_of_the_requests(checkpoint, serve, floats):
    scorer = GatedScorer(checkpoint)
    worker = serve(scorer, max_events=1)
    done = []
    scorer.close_gate()
    answers = [worker.submit(request(seed, floats)) for seed in range(8)]
    for number, answer in enumerate(answers):
        answer.add_done_callback(lambda _, number=number: done.append(number))
    scorer.gate.set()
    answers[-1].result()
    assert done == list(range(8))


def test_a_failure_reaches_the_callers_and_the_worker_goes_on(checkpoint, serve, floats):
    worker = serve(GatedScorer(checkpoint, poison=7))
    with pytest.raises(InferenceError, match="no numbers today"):
        worker.submit(request(1, floats, count=7)).result()
    steps = request(2, floats)
    assert_equal(worker.submit(steps).result(), Scorer(checkpoint, CPU).score(steps))


def test_a_caller_who_gives_up_disturbs_nobody(checkpoint, serve, floats):
    scorer = GatedScorer(checkpoint)
    worker = serve(scorer)
    scorer.close_gate()
    worker.submit(request(0, floats))
    scorer.entered.wait()
    given_up, steps = worker.submit(request(1, floats)), request(2, floats)
    waited_for = worker.submit(steps)
    assert given_up.cancel()
    scorer.gate.set()
    assert_equal(waited_for.result(), Scorer(checkpoint, CPU).score(steps))
    with pytest.raises(CancelledError):
        given_up.result()
    assert scorer.sizes[-1] == 20


def test_stop_answers_what_is_queued(checkpoint, floats):
    scorer = GatedScorer(checkpoint)
    worker = InferenceWorker(scorer, max_events=25)
    worker.start()
    scorer.close_gate()
    answers = [worker.submit(request(seed, floats)) for seed in range(5)]
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    scorer.gate.set()
    stopping.join()
    assert all(answer.done() for answer in answers)


def test_the_model_has_run_before_start_returns(checkpoint, serve):
    scorer = GatedScorer(checkpoint)
    serve(scorer)
    assert scorer.sizes == [64]


def test_a_request_without_events_is_answered_with_nothing(checkpoint, serve, floats):
    worker, steps = serve(GatedScorer(checkpoint)), request(1, floats)
    empty, full = worker.submit(nothing(floats)), worker.submit(steps)
    assert empty.result().propensities.shape == (0, 3)
    assert_equal(full.result(), Scorer(checkpoint, CPU).score(steps))


def test_pytorch_scores_as_the_compiled_step_does(checkpoint, floats):
    """But for numbers between two halves, which either may round away from the other."""
    by_step, by_pytorch, steps = Scorer(checkpoint, CPU), Scorer(checkpoint, CPU), request(1, floats)
    by_pytorch._step = None  # as on a GPU
    expected, found = by_step.score(steps), by_pytorch.score(steps)
    assert found.carried.dtype == expected.carried.dtype == np.float16
    np.testing.assert_allclose(found.propensities, expected.propensities, atol=1e-4)
    np.testing.assert_allclose(found.carried, expected.carried, atol=1e-3)


def test_numbers_that_are_not_finite_are_an_error_not_a_score(checkpoint, floats):
    steps = request(1, floats)
    steps.features.numeric[3, 0] = np.nan
    with pytest.raises(InferenceError, match="not finite"):
        Scorer(checkpoint, CPU).score(steps)


@pytest.mark.parametrize("counts", [[1], [5, 9], [3, 0, 12, 1]])
def test_a_merged_answer_is_cut_into_the_answers_of_its_requests(checkpoint, floats, counts):
    requests = [request(seed, floats, count) if count else nothing(floats) for seed, count in enumerate(counts)]
    scorer = Scorer(checkpoint, CPU)
    for scored, steps in zip(split(scorer.score(merged(requests)), requests), requests, strict=True):
        assert_equal(scored, scorer.score(steps))


def test_auto_selects_a_device_and_an_unusable_one_is_one_line():
    assert select_device("auto").type in {"cpu", "cuda"}
    assert select_device("cpu") == CPU
    for name in ("cuda:99", "gramophone"):
        with pytest.raises(CheckpointError, match=r"worker\.device") as refusal:
            select_device(name)
        assert "\n" not in str(refusal.value)


def with_money() -> Checkpoint:
    torch.manual_seed(3)
    shop = shop_of({"money": {"within": "1h"}})
    model = PropensityLSTM(LSTMConfig(hidden_size=8, shop=shop)).eval()
    torch.nn.init.normal_(model.order_value.numbers, std=0.1)
    torch.nn.init.normal_(model.order_value.types)
    model.order_value.log_mean.fill_(3.0)
    return Checkpoint("lstm8-money", model, Calibration((0.9,) * 3, (0.2,) * 3), metrics={}, training={})


def test_an_expected_value_is_the_propensity_within_its_time_times_the_order_value_on_either_path():
    checkpoint = with_money()
    by_step, by_pytorch = Scorer(checkpoint, CPU), Scorer(checkpoint, CPU)
    by_pytorch._step = None
    steps = request(1, checkpoint.model.config.carried_floats)
    packed = PackedFeatures.of(steps.features, CPU, np.arange(20), np.array([20]))
    with torch.inference_mode():
        for scored in (by_step.score(steps), by_pytorch.score(steps)):
            worth = scored.extra["expected_value"] / checkpoint.model.order_value(packed).numpy()
            np.testing.assert_allclose(worth, scored.propensities[:, 1], rtol=1e-5)
    (column,) = checkpoint.head_names.columns(by_step.score(steps).extra)
    assert checkpoint.head_names.fields == [("expected_value", float)]
    assert all(value == round(value, 4) for value in column)
