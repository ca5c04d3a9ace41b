"""The inference worker: a thread that owns the device. Batch in, batch out: same length, same order.

Dynamic batching without a timer: as soon as the device is free, all waiting requests run as one batch. Under light load
a request never waits for others; under heavy load others have queued while the device was busy.
"""

import queue
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from model.arrays import Runs
from model.checkpoint import Checkpoint
from model.core.features import Features, write_category_rates
from model.core.lstm_step import StepWeights, run_steps
from model.events import EXPECTED_VALUE
from model.heads import TOP, Extra, extra_dtype, may_be_named
from model.lstm import LSTMConfig, PackedFeatures, Packing
from model.text import TOKENS
from service.errors import CartcastError, CheckpointError

_STOP: Final = None


class InferenceError(CartcastError):
    """The model's output is not a finite probability for every event."""


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """Events to score, sorted by user, and the carried numbers of each user before the first of them."""

    features: Features
    users: npt.NDArray[np.int64]
    """`(events,)` ascending"""
    carried: npt.NDArray[np.float16]
    """`(distinct users, carried_floats)`, in the users' order"""


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """The result of an `InferenceRequest`, in the same order."""

    propensities: npt.NDArray[np.float32]
    """`(events, horizons)` calibrated probabilities"""
    carried: npt.NDArray[np.float16]
    """`(distinct users, carried_floats)` after each user's last event"""
    extra: Extra
    """What the extra heads say `(events,)`; records without fields if there are none."""


def select_device(
    name: str, *, instance_id: str | None = None, count_gpus: Callable[[], int] = torch.cuda.device_count
) -> torch.device:
    """Return the device that a setting names; `auto` is a GPU if there is one, else the CPU.

    Of several GPUs `auto` takes the one whose number the instance id ends with, counted round: so `worker-0` to
    `worker-7` share four GPUs in pairs. An id without a number, or none, is the first. Raises CheckpointError.
    """
    if name == "auto":
        gpus = count_gpus()
        return torch.device("cuda", instance_number(instance_id) % gpus) if gpus else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise CheckpointError(
            f"device {name!r} is not usable here: choose auto or cpu (--device, worker.device)"
        ) from None
    return device


def instance_number(instance_id: str | None) -> int:
    """Return the number at the end of an instance id, as Kubernetes' StatefulSets give it; 0 if there is none."""
    digits = re.search(r"([0-9]{1,9})$", instance_id or "")
    return int(digits.group(1)) if digits else 0


class Scorer:
    """Runs a checkpoint on a device, in the caller's thread: on the CPU with the compiled step, else with PyTorch."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        self.device = device
        self._category_rates = checkpoint.model.category_rates.cpu().numpy()
        self._model = checkpoint.model.to(device).eval()
        self._slopes = torch.tensor(checkpoint.calibration.slopes, device=device)
        self._intercepts = torch.tensor(checkpoint.calibration.intercepts, device=device)
        self.config = config = checkpoint.model.config
        calibration = np.array(checkpoint.calibration.slopes), np.array(checkpoint.calibration.intercepts)
        self._step = StepWeights.of(checkpoint.model, *calibration) if device.type == "cpu" else None
        self._extra_dtype = extra_dtype(config.heads, has_money=config.shop.money is not None)
        self._nameless = {
            head: torch.from_numpy(~may_be_named(head, config.classes(head), checkpoint.category_names)).to(device)
            for head in config.heads
        }

    @torch.inference_mode()
    def score(self, request: InferenceRequest) -> InferenceResult:
        """Score every event; raises InferenceError if the output is not finite.

        Writes the model's category rates into the request's features.
        """
        if not len(request.features):
            return InferenceResult(
                np.empty((0, len(self._slopes)), np.float32), request.carried, np.empty(0, self._extra_dtype)
            )
        write_category_rates(request.features.numeric, request.features.categories, self._category_rates)
        runs = Runs.of(request.users)
        result = self._by_pytorch(request, runs) if self._step is None else self._by_step(self._step, request, runs)
        if not (np.isfinite(result.propensities).all() and np.isfinite(result.carried).all()):
            raise InferenceError("the model returned numbers that are not finite: the checkpoint is unusable")
        return result

    def _by_step(self, weights: StepWeights, request: InferenceRequest, runs: Runs) -> InferenceResult:
        carried = request.carried.copy()
        propensities, output = run_steps(weights, request.features, runs.index, carried)
        extra = np.empty(len(output), self._extra_dtype)
        if self._extra_dtype.names:
            one_step = np.array([len(output)])
            inputs = PackedFeatures.of(request.features, self.device, np.arange(len(output)), one_step)
            extra = self._extra_of(torch.from_numpy(output), torch.from_numpy(propensities), inputs)
        return InferenceResult(propensities, carried, extra)

    def _by_pytorch(self, request: InferenceRequest, runs: Runs) -> InferenceResult:
        packing = Packing.of(runs)
        carried = torch.from_numpy(request.carried[packing.sequences]).to(self.device, non_blocking=True)
        packed: PackedFeatures = packing.pack(request.features, self.device)
        output = self._model.step_outputs(packed, carried)  # (events, hidden), in packed order
        logits = self._model.logits(output, packed)  # (events, horizons)
        propensities = torch.sigmoid(logits * self._slopes + self._intercepts)
        extra = self._extra_of(output, propensities, packed)
        return _unpacked(packing, InferenceResult(propensities.cpu().numpy(), carried.cpu().numpy(), extra))

    def _extra_of(self, output: torch.Tensor, propensities: torch.Tensor, packed: PackedFeatures) -> Extra:
        """Return each head's most likely classes among the named ones, and the expected value.

        Missing classes have propensity 0.
        """
        extra = np.zeros(len(output), self._extra_dtype)
        for head, logits in self._model.extra_logits(output, packed).items():
            # (events, classes); a class without a name is never published
            shares = logits.softmax(dim=1).masked_fill(self._nameless[head], 0.0)
            found = shares.topk(min(TOP, shares.shape[1]))
            extra[head]["classes"][:, : found.indices.shape[1]] = found.indices.cpu().numpy()
            extra[head]["propensities"][:, : found.values.shape[1]] = found.values.cpu().numpy()
        if EXPECTED_VALUE in (self._extra_dtype.names or ()):
            extra[EXPECTED_VALUE] = self._model.expected_values(propensities, packed)[:, 0].cpu().numpy()
        return extra


def _unpacked(packing: Packing, packed: InferenceResult) -> InferenceResult:
    result = InferenceResult(
        np.empty_like(packed.propensities), np.empty_like(packed.carried), np.empty_like(packed.extra)
    )
    result.propensities[packing.rows] = packed.propensities
    result.carried[packing.sequences] = packed.carried
    result.extra[packing.rows] = packed.extra
    return result


_Queued = tuple[InferenceRequest, Future[InferenceResult]]


class InferenceWorker:
    """Scores requests from several callers on one device; `start` returns when the model is warm."""

    def __init__(self, scorer: Scorer, *, max_events: int) -> None:
        self._scorer = scorer
        self._max_events = max_events
        self._requests: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Warm up the model, so that the first request does not wait for it, and start to serve."""
        self._scorer.score(_warm_up_request(self._scorer.config))
        self._thread.start()

    def submit(self, request: InferenceRequest) -> Future[InferenceResult]:
        """Queue a request; requests are answered in order of arrival."""
        answer: Future[InferenceResult] = Future()
        self._requests.put((request, answer))
        return answer

    def score(self, request: InferenceRequest) -> InferenceResult:
        """Return the answer of a request; raises what the scorer raises."""
        return self.submit(request).result()

    def stop(self) -> None:
        """Answer the queued requests, then end the thread."""
        self._requests.put(_STOP)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._requests.get()) is not None:
            group, stopping = self._whatever_waits(first)
            self._answer([request for request in group if request[1].set_running_or_notify_cancel()])
            if stopping:
                return

    def _answer(self, group: list[_Queued]) -> None:
        """Score the requests that were not cancelled, as one batch."""
        if not group:
            return
        try:
            result = self._scorer.score(merged([request for request, _ in group]))
            answers = split(result, [request for request, _ in group])
        except Exception as failure:  # noqa: BLE001 - whatever it is, the waiting callers must receive it
            for _, answer in group:
                answer.set_exception(failure)
        else:
            for (_, answer), part in zip(group, answers, strict=True):
                answer.set_result(part)

    def _whatever_waits(self, first: _Queued) -> tuple[list[_Queued], bool]:
        """Return the first request and those queued behind it, up to the largest batch, and whether to stop."""
        group, events = [first], len(first[0].features)
        while events < self._max_events:
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                break
            if request is _STOP:
                return group, True
            group.append(request)
            events += len(request[0].features)
        return group, False


def merged(requests: list[InferenceRequest]) -> InferenceRequest:
    """Join requests into one; equal user numbers of different requests are different users."""
    if len(requests) == 1:
        return requests[0]
    features = [request.features for request in requests]
    users, offset = [], 0
    for request in requests:
        users.append(np.unique(request.users, return_inverse=True)[1] + offset)
        offset += len(request.carried)
    return InferenceRequest(
        features=Features(
            numeric=np.concatenate([part.numeric for part in features]),
            types=np.concatenate([part.types for part in features]),
            categories=np.concatenate([part.categories for part in features]),
            tokens=np.concatenate([part.tokens for part in features]),
            labels=np.concatenate([part.labels for part in features]),
        ),
        users=np.concatenate(users),
        carried=np.concatenate([request.carried for request in requests]),
    )


def split(result: InferenceResult, requests: list[InferenceRequest]) -> list[InferenceResult]:
    """Split the result of `merged(requests)` into one result per request."""
    events = np.cumsum([len(request.features) for request in requests])[:-1]
    users = np.cumsum([len(request.carried) for request in requests])[:-1]
    return [
        InferenceResult(*parts)
        for parts in zip(
            np.split(result.propensities, events),
            np.split(result.carried, users),
            np.split(result.extra, events),
            strict=True,
        )
    ]


def _warm_up_request(config: LSTMConfig) -> InferenceRequest:
    events = 64
    zeros, numeric = np.zeros(events, np.int64), np.zeros((events, len(config.numeric_inputs)), np.float32)
    tokens, labels = (np.zeros((events, width), np.int64) for width in (TOKENS, len(config.shop.categorical)))
    features = Features(numeric, zeros, zeros, tokens, labels)
    return InferenceRequest(features, np.arange(events), np.zeros((events, config.carried_floats), np.float16))
