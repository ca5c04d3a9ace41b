"""The training loop: epochs of truncated back-propagation through time over each user's whole history.

Sequences are cut into chunks of `piece_events`; h and c are carried from chunk to chunk, gradients are not (Williams
and Peng, 1990). The worker carries them from batch to batch in the same way.

Purchases are rare, but they are neither resampled nor weighted: that would teach a wrong base rate. Instead the heads'
biases start at the base rates, so that no epoch is spent on them. Weighted are shoppers (`TrainingSet.user_weights`).
The number of epochs is fixed, so that what is measured on a part of the time is the recipe that is then used on all.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from model.arrays import Booleans, Floats, Runs
from model.lstm import PackedFeatures, Packing, PropensityLSTM
from model.training.auxiliary import AuxiliaryHeads, summed_cross_entropy
from model.training.chunks import Chunk, chunks, shuffled_batches
from model.training.examples import TrainingSet
from model.training.extra_heads import class_shares
from model.training.resume import StateStore

_LARGEST_GRADIENT: Final = 1.0
_RISE: Final = 0.05
"""Share of the training that is warm-up of the learning rate."""

Progress = Callable[[float, str], None]
"""Takes the share of the longest possible training that is done, and a short text."""


@dataclass(frozen=True)
class TrainingSettings:
    """Hyperparameters of training; the names are those of checkpoint.json."""

    seed: int = 1
    epochs: int = 12
    learning_rate: float = 5e-3
    """At its peak: a short warm-up, then cosine decay to 0 (Loshchilov and Hutter, "SGDR", 2017)."""
    remembered_epochs: float = 4.0
    """Time scale of AdamW's weight decay, in epochs: the decay is 1 / (learning rate * steps per epoch * this), so that
    little data is decayed much and much data little (Wang and Aitchison, "How to set AdamW's
    weight decay as you scale model and dataset size", 2024)."""
    input_dropout: float = 0.2
    output_dropout: float = 0.5
    batch_events: int = 2048
    piece_events: int = 128
    """Length of a chunk of truncated BPTT."""
    forgotten_categories: float = 0.6
    """Share of events whose category is masked in training, because the shop's assortment changes."""
    threads: int = 1
    """One thread gives the same weights whatever else the machine does, and steps this small gain little from more."""
    further_weight: float = 0.1
    """Weight of each extra head's cross entropy in the loss."""
    auxiliary_weight: float = 1.0
    """Weight of the auxiliary tasks (`model.training.auxiliary`)."""
    auxiliary_from_events: int = 100_000
    """Histories with fewer events are trained without auxiliary tasks, which would crowd out the main one."""


def fit(fitting: "Fitting", stage: str, store: StateStore, progress: Progress) -> list[float]:
    """Train for all epochs; returns the training loss of each. `store` keeps the state after each epoch by stage."""
    losses: list[float] = []
    if (state := store.load(stage)) is not None:
        losses = state["losses"]
        fitting.restore(state["fitting"])
    epochs = fitting.settings.epochs
    for number in range(len(losses), epochs):
        for share in fitting.epoch():
            progress((number + share) / epochs, f"{stage}: epoch {number + 1} of {epochs}")
        losses.append(fitting.loss)
        store.save(stage, {"losses": losses, "fitting": fitting.state()})
    progress(1.0, f"{stage}: done")
    return losses


class Fitting:
    """A model in training and the state of its training: optimizer, learning rate, random generators."""

    loss = np.nan
    """The mean log loss over the last epoch's chunks, each before its gradient step."""

    def __init__(
        self,
        model: PropensityLSTM,
        training_set: TrainingSet,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        """Prepare a training of `epochs` (default: the settings'), over which the learning rate decays to 0."""
        self.model = model.to(device)
        self._auxiliary = AuxiliaryHeads(model.config).to(device)
        self._parameters = [*model.parameters(), *self._auxiliary.parameters()]
        self.settings = settings
        self._training_set = training_set
        self._device = device
        self._random = np.random.default_rng(settings.seed)
        is_enough = len(training_set.history) >= settings.auxiliary_from_events
        self._auxiliary_weight = settings.auxiliary_weight if is_enough else 0.0
        self._weights = training_set.user_weights()
        self._epochs_done = 0
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=settings.learning_rate,
            weight_decay=1 / (settings.learning_rate * self._steps_of_an_epoch() * settings.remembered_epochs),
        )
        self._precision = Precision(device)
        self._start_at_base_rates()

    def _steps_of_an_epoch(self) -> int:
        lengths, random = self._training_set.spans.lengths, np.random.default_rng(self.settings.seed)
        batches = shuffled_batches(lengths, self.settings.batch_events, self.settings.piece_events, random)
        return sum(-(-int(lengths[batch].max()) // self.settings.piece_events) for batch in batches)

    def _set_learning_rate(self, share_of_epoch: float) -> None:
        done = (self._epochs_done + share_of_epoch) / self.settings.epochs
        rise = min(1.0, (done + 0.001) / _RISE)
        self._optimizer.param_groups[0]["lr"] = self.settings.learning_rate * rise * (1 + math.cos(math.pi * done)) / 2

    def epoch(self) -> Iterator[float]:
        """Train for one epoch; yields the share that is done after each batch."""
        self.model.train()
        done, horizons = 0, len(self.model.config.horizons)
        losses, counts = np.zeros(horizons), np.zeros(horizons, np.int64)
        length = self.settings.piece_events
        batches = shuffled_batches(self._training_set.spans.lengths, self.settings.batch_events, length, self._random)
        for batch in batches:
            h = c = torch.zeros(len(batch), self.model.config.hidden_size, device=self._device)  # (users, hidden)
            for chunk in chunks(self._training_set.spans, batch, length):
                self._set_learning_rate(done / self._training_set.spans.events)
                h, c, chunk_losses = self._step(chunk, h, c)
                losses += chunk_losses
                counts += self._training_set.known[chunk.rows].sum(axis=0)
                done += len(chunk.rows)
            yield done / self._training_set.spans.events
        self._epochs_done += 1
        self.loss = float((losses / np.maximum(counts, 1)).mean())

    def state(self) -> dict[str, Any]:
        """Return the state from which `restore` continues exactly."""
        return {
            "model": self.model.state_dict(),
            "auxiliary": self._auxiliary.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epochs_done": self._epochs_done,
            "scaler": self._precision.scaler.state_dict(),
            "order": json.dumps(self._random.bit_generator.state),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self._device.type == "cuda" else [],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._auxiliary.load_state_dict(state["auxiliary"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._epochs_done = state["epochs_done"]
        self._precision.scaler.load_state_dict(state["scaler"])
        self._random.bit_generator.state = json.loads(state["order"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])

    def _step(self, chunk: Chunk, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Floats]:
        """Take one gradient step on a chunk.

        `h` and `c` are `(users of the batch, hidden)`. Returns them after the chunk, and the summed losses
        `(horizons,)`.
        """
        # Inputs in packed order; `users` and `rows` are permuted alike.
        packing = Packing.of(Runs.of(chunk.sequences))
        users = torch.from_numpy(chunk.users[packing.sequences]).to(self._device)  # (sequences,)
        features = self._training_set.history.features(chunk.rows)
        packed = self._with_masked_codes(packing.pack(features, self._device))
        rows = chunk.rows[packing.rows]  # (events,)
        with self._precision.autocast():
            dropouts = self.settings.input_dropout, self.settings.output_dropout
            output, (h_after, c_after) = padded_outputs(self.model, packed, (h[users], c[users]), dropouts)
            # (events, horizons), and (events, classes) by head
            logits, extra = self.model.logits(output, packed), self.model.extra_logits(output, packed)
        weights = torch.from_numpy(self._weights[self._training_set.history.users[rows]]).float().to(self._device)
        known = torch.from_numpy(self._training_set.known[rows]).to(self._device) * weights[:, None]
        losses = masked_losses(logits.float(), self._training_set.bought[rows], known)
        # The loss: horizons, extra heads, auxiliary tasks; each a sum over the events, scaled below.
        loss = losses.mean()
        for head_logits, targets in zip(extra.values(), self._training_set.targets[rows].T, strict=True):
            classes = torch.from_numpy(targets.astype(np.int64)).to(self._device)  # (events,)
            loss = loss + self.settings.further_weight * summed_cross_entropy(head_logits.float(), classes)
        if self._auxiliary_weight:
            with self._precision.autocast():
                loss = loss + self._auxiliary_weight * self._auxiliary.loss(
                    output, packed, self._training_set.auxiliary[rows]
                )
        self._precision.learn(loss / self.settings.batch_events, self._parameters, self._optimizer)
        # Sequences that ended keep their place in h and c; no gradient crosses a chunk.
        h = h.index_put((users,), h_after.detach().float())
        return h, c.index_put((users,), c_after.detach().float()), losses.detach().cpu().numpy().astype(np.float64)

    def _with_masked_codes(self, inputs: PackedFeatures) -> PackedFeatures:
        drawn = self._random.random(len(inputs.categories))
        masked = torch.from_numpy(drawn < self.settings.forgotten_categories).to(self._device)
        return replace(inputs, categories=inputs.categories.masked_fill(masked, 0))

    def _start_at_base_rates(self) -> None:
        rate = self._training_set.base_rates
        with torch.no_grad():
            self.model.heads.bias.copy_(torch.from_numpy(np.log(rate / (1 - rate))))
            for head, targets in zip(self.model.config.heads, self._training_set.targets.T, strict=True):
                shares = class_shares(targets, self.model.config.classes(head))
                self.model.get_parameter(f"further.{head}.bias").copy_(torch.from_numpy(np.log(shares)))


class Precision:
    """Half precision on CUDA: bfloat16 where the GPU has it, else float16 with scaled losses; float32 on the CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        on_cuda = device.type == "cuda"
        self._dtype = torch.bfloat16 if not on_cuda or torch.cuda.is_bf16_supported() else torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=on_cuda and self._dtype == torch.float16)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, self._dtype, enabled=self._device.type == "cuda")

    def learn(self, loss: Tensor, parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        """Take one optimizer step, with the gradient norm clipped."""
        optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call] # torch's own stub has no types here
        self.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(parameters, _LARGEST_GRADIENT)
        self.scaler.step(optimizer)
        self.scaler.update()


def padded_outputs(
    model: PropensityLSTM,
    inputs: PackedFeatures,
    carried: tuple[Tensor, Tensor],
    dropouts: tuple[float, float] = (0.0, 0.0),
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Do what `PropensityLSTM.outputs` does, with padding instead of packing.

    The carried numbers of sequences shorter than the longest are wrong, but nobody reads them: such a sequence has
    ended. On the CPU, torch's backward pass takes several times as long through a packed sequence as through a padded
    one. `dropouts` are the dropout probabilities of the LSTM's inputs and outputs.
    """
    h, c = carried
    embedded, sizes = nn.functional.dropout(model.embedded(inputs), dropouts[0]), inputs.batch_sizes
    # (events,) each: the step and the sequence of every packed row
    step = torch.repeat_interleave(sizes)
    place = torch.arange(len(step)) - (torch.cumsum(sizes, 0) - sizes)[step]
    at = step.to(embedded.device), place.to(embedded.device)
    # (steps, sequences, ...): inputs, then outputs
    padded = embedded.new_zeros(len(sizes), len(h), embedded.shape[1]).index_put(
        at, embedded
    )  # (steps, sequences, inputs)
    output, (h, c) = model.lstm(padded, (h.unsqueeze(0), c.unsqueeze(0)))
    return nn.functional.dropout(output[at], dropouts[1]), (h.squeeze(0), c.squeeze(0))


def masked_losses(logits: Tensor, bought: Booleans, weights: Tensor) -> Tensor:
    """Return the sum of the labels' losses `(horizons,)`; `weights` are 0 where they are unknown."""
    labels = torch.from_numpy(bought).to(logits.device).float()
    losses = nn.functional.binary_cross_entropy_with_logits(logits, labels, weight=weights, reduction="none")
    return losses.sum(dim=0)
