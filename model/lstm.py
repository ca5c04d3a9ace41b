"""PropensityLSTM: one step per event from a carried state, one logit per horizon.

Knows nothing of users, batches of records or time: its input is packed sequences of features.
"""

from dataclasses import dataclass, field
from typing import Annotated, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from model.arrays import Runs
from model.attributes import LABELS
from model.core.features import NUMERIC_FEATURES, Features
from model.heads import CATEGORY_CODES, NEXT_TYPE, PURCHASE_CATEGORY, Head
from model.horizons import HORIZONS
from model.shop import NO_SHOP, Shop

Size = Annotated[int, msgspec.Meta(gt=0, le=4096)]
Buckets = Annotated[int, msgspec.Meta(gt=1, le=65536)]


LABEL_EMBEDDING: Final = 4
"""Size of the embedding of each of a shop's categorical attributes."""


class LSTMConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of the network; saved beside the weights."""

    hidden_size: Size = 64
    type_embedding: Size = 8
    category_buckets: Buckets = 512
    category_embedding: Size = 12
    token_buckets: Buckets = 1024
    token_embedding: Size = 12
    horizons: tuple[str, ...] = HORIZONS
    numeric_features: tuple[str, ...] = NUMERIC_FEATURES
    heads: tuple[Head, ...] = ()
    """The extra heads."""
    shop: Shop = NO_SHOP
    """What events are read with, what the goals among `horizons` mean, and whether there is a head for money."""

    @property
    def numeric_inputs(self) -> tuple[str, ...]:
        """The names of all numbers that the network sees of an event, in the order of `Features.numeric`."""
        numeric = self.shop.numeric
        return (
            *self.numeric_features,
            *(f"attribute {name}" for name in numeric),
            *(f"has {name}" for name in numeric),
        )

    def classes(self, head: Head) -> int:
        """Return the number of classes of a head; those of categories are the buckets, of which 0 is never right."""
        return len(self.shop.event_types) if head == NEXT_TYPE else self.category_buckets

    @property
    def carried_floats(self) -> int:
        """How many numbers are carried from event to event per user: h and c."""
        return 2 * self.hidden_size


class PropensityLSTM(nn.Module):
    """Embeddings and numeric features of an event -> LSTM -> one logit per horizon.

    The numeric features also reach the heads directly, after Cheng et al., "Wide & Deep Learning" (2016): what a linear
    model can express need not be learnt through the recurrence.
    """

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        self.config = config
        shop, numbers = config.shop, len(config.numeric_inputs)
        types, labels = len(shop.event_types), len(shop.categorical)
        self.type_embedding = nn.Embedding(types, config.type_embedding)
        self.category_embedding = nn.Embedding(config.category_buckets, config.category_embedding, padding_idx=0)
        self.token_embedding = nn.EmbeddingBag(config.token_buckets, config.token_embedding, mode="mean", padding_idx=0)
        embedded = config.type_embedding + config.category_embedding + config.token_embedding
        self.lstm = nn.LSTM(numbers + embedded + labels * LABEL_EMBEDDING, config.hidden_size)
        seen_by_heads = config.hidden_size + numbers
        self.heads = nn.Linear(seen_by_heads, len(config.horizons))
        # Not learnt here: `model.training.ridge` adds to each type's logits, and history says what categories are like.
        self.type_logits: Tensor
        self.category_rates: Tensor
        self.register_buffer("type_logits", torch.zeros(types, len(config.horizons)))
        self.register_buffer("category_rates", torch.zeros(CATEGORY_CODES, 2))
        # `further` is part of the tensors' names in weights.safetensors.
        self.further = nn.ModuleDict(
            {
                head: (CategoryHead if head == PURCHASE_CATEGORY else nn.Linear)(seen_by_heads, config.classes(head))
                for head in config.heads
            }
        )
        embeddings = (nn.Embedding(LABELS, LABEL_EMBEDDING, padding_idx=0) for _ in range(labels))
        self.label_embeddings = nn.ModuleList(embeddings)
        # What a categorical value says by itself also goes to the logits directly, as numbers do.
        self.label_logits = nn.ModuleList(
            nn.Embedding(LABELS, len(config.horizons), padding_idx=0, _weight=torch.zeros(LABELS, len(config.horizons)))
            for _ in range(labels)
        )
        sizes = numbers, len(shop.event_types)
        self.order_value = OrderValue(*sizes) if shop.money is not None else None
        # All made last, so that a network without them starts with the same weights.
        self.number_scales: Tensor | None
        scales = torch.tensor([[0.0], [1.0]]).repeat(1, len(shop.numeric)) if shop.numeric else None
        self.register_buffer("number_scales", scales)  # mean and deviation of numeric attributes (2, attributes)

    def forward(self, inputs: "PackedFeatures", carried: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Continue packed sequences from their carried states.

        `carried` is (h, c), each `(sequences, hidden)`, in the packed order of the sequences. Returns the logits
        `(events, horizons)` in packed order, and (h, c) after each sequence's last event.
        """
        output, carried = self.outputs(inputs, carried)
        return self.logits(output, inputs), carried

    def outputs(self, inputs: "PackedFeatures", carried: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Do what `forward` does without the heads: returns the LSTM's output `(events, hidden)`, and (h, c)."""
        h, c = carried
        packed = PackedSequence(self.embedded(inputs), inputs.batch_sizes)
        output, (h, c) = self.lstm(packed, (h.unsqueeze(0), c.unsqueeze(0)))
        return output.data, (h.squeeze(0), c.squeeze(0))

    def step_outputs(self, inputs: "PackedFeatures", carried: Tensor) -> Tensor:
        """Do what `outputs` does one step at a time, rounding what is carried to half precision after each.

        `carried` are h and c side by side, float16 `(sequences, 2 * hidden)`, advanced in place. Returns the LSTM's
        output `(events, hidden)`.
        """
        outputs = []
        for step in torch.split(self.embedded(inputs), inputs.batch_sizes.tolist()):  # (sequences, inputs)
            before = carried[: len(step)].float().chunk(2, dim=1)
            h, c = torch.lstm_cell(step, before, *self.lstm.all_weights[0])
            carried[: len(step)] = torch.cat((h, c), dim=1)
            outputs.append(h)
        return torch.cat(outputs)

    def embedded(self, inputs: "PackedFeatures") -> Tensor:
        """Return the LSTM's input `(events, inputs)`."""
        return torch.cat(
            (
                self.numbers(inputs),  # (events, numeric inputs)
                self.type_embedding(inputs.types),  # (events, type_embedding), and so on
                self.category_embedding(_bucket(inputs.categories, self.config.category_buckets)),
                self.token_embedding(_bucket(inputs.tokens, self.config.token_buckets)),
                *(embedding(inputs.labels[:, place]) for place, embedding in enumerate(self.label_embeddings)),
            ),
            dim=1,
        )

    def numbers(self, inputs: "PackedFeatures") -> Tensor:
        """Return the numeric inputs `(events, numeric inputs)`: a shop's numeric attributes standardised if known."""
        if self.number_scales is None:
            return inputs.numeric
        (means, deviations), attributes = self.number_scales, len(self.config.shop.numeric)
        rest, numbers, known = torch.split(
            inputs.numeric, [inputs.numeric.shape[1] - 2 * attributes, attributes, attributes], dim=1
        )
        return torch.cat((rest, (numbers - means * known) / deviations, known), dim=1)

    def logits(self, output: Tensor, inputs: "PackedFeatures") -> Tensor:
        """Return the heads' logits `(events, horizons)` for the LSTM's output `(events, hidden)`."""
        logits: Tensor = self.heads(torch.cat((output, self.numbers(inputs)), dim=1))
        for place, table in enumerate(self.label_logits):
            logits = logits + table(inputs.labels[:, place])
        return logits + self.type_logits[inputs.types]

    def extra_logits(self, output: Tensor, inputs: "PackedFeatures") -> dict[Head, Tensor]:
        """Return the logits `(events, classes)` of each extra head, for the LSTM's output `(events, hidden)`."""
        if not self.config.heads:
            return {}
        seen = torch.cat((output, self.numbers(inputs)), dim=1)  # (events, hidden + numeric inputs)
        at_hand = _bucket(inputs.categories, self.config.category_buckets)  # (events,)
        layers = zip(self.config.heads, self.further.values(), strict=True)
        return {
            head: layer(seen, at_hand) if isinstance(layer, CategoryHead) else layer(seen) for head, layer in layers
        }

    def expected_values(self, propensities: Tensor, inputs: "PackedFeatures") -> Tensor:
        """Return what purchases are worth `(events, 1)`, in money; no column without that head.

        A two-part model: the propensity to buy within the time, `(events, horizons)` calibrated, times what is bought
        then (Duan, Manning, Morris and Newhouse, "A comparison of alternative models for the demand for medical care",
        1983).
        """
        if self.order_value is None or self.config.shop.money is None:
            return propensities.new_empty((len(propensities), 0))
        within = self.config.horizons.index(self.config.shop.money.within)
        values: Tensor = propensities[:, within] * self.order_value(inputs)
        return values[:, None]


class OrderValue(nn.Module):
    """What the purchases within the time of the shop's `money` are worth if there are some, a log-linear function.

    Not learnt with the network: `model.training.order_value` sets it.
    """

    _LARGEST_LOG: Final = 3.0
    """No order value is further from the mean than a factor of 20."""

    def __init__(self, numeric_features: int, types: int) -> None:
        super().__init__()
        self.numbers: Tensor
        self.types: Tensor
        self.bias: Tensor
        self.log_mean: Tensor
        self.register_buffer("numbers", torch.zeros(numeric_features))
        self.register_buffer("types", torch.zeros(types))
        self.register_buffer("bias", torch.zeros(1))
        self.register_buffer("log_mean", torch.zeros(1))

    def forward(self, inputs: "PackedFeatures") -> Tensor:
        """Return the expected values `(events,)`, in money."""
        logs = inputs.numeric @ self.numbers + self.types[inputs.types] + self.bias
        return (logs.clamp(-self._LARGEST_LOG, self._LARGEST_LOG) + self.log_mean).exp()


class CategoryHead(nn.Linear):
    """One logit per category, plus a term for the category of the event itself, whichever it is.

    Most purchases are of the category being viewed; with a copy term that need not be learnt for each category (Gu et
    al., "Incorporating copying mechanism in sequence-to-sequence learning", 2016).
    """

    def __init__(self, seen: int, categories: int) -> None:
        super().__init__(seen, categories)
        self.again = nn.Linear(seen, 1)

    def forward(self, seen: Tensor, at_hand: Tensor) -> Tensor:  # type: ignore[override] # it takes one input more
        """Return the logits `(events, categories)`; `at_hand` is the bucket of each event's own category."""
        # (events, 1), added to the logit of the event's own category
        copied = self.again(seen).masked_fill(at_hand[:, None] == 0, 0.0)
        logits: Tensor = super().forward(seen)
        return logits.scatter_add(1, at_hand[:, None], copied.to(logits.dtype))


def _bucket(codes: Tensor, buckets: int) -> Tensor:
    """Fold codes 1..65535 into buckets 1..buckets-1; 0 (none) stays 0."""
    return torch.where(codes > 0, (codes - 1) % (buckets - 1) + 1, codes)


@dataclass(frozen=True, slots=True)
class PackedFeatures:
    """Features in the order of torch's PackedSequence: the first event of every sequence, the longest first, and so on.

    Each tensor but `batch_sizes` has one row per event.
    """

    numeric: Tensor
    types: Tensor
    categories: Tensor
    tokens: Tensor
    labels: Tensor
    batch_sizes: Tensor
    """Number of sequences that have an event at each step `(steps,)`; on the CPU, as torch requires."""

    @classmethod
    def of(
        cls, features: Features, device: torch.device, rows: npt.NDArray[np.int64], batch_sizes: npt.NDArray[np.int64]
    ) -> Self:
        """Gather some rows of features on the device."""
        return cls(
            numeric=torch.from_numpy(features.numeric[rows]).to(device, non_blocking=True),
            types=torch.from_numpy(features.types[rows]).to(device, non_blocking=True),
            categories=torch.from_numpy(features.categories[rows]).to(device, non_blocking=True),
            tokens=torch.from_numpy(features.tokens[rows]).to(device, non_blocking=True),
            labels=torch.from_numpy(features.labels[rows]).to(device, non_blocking=True),
            batch_sizes=torch.from_numpy(batch_sizes),
        )


@dataclass(frozen=True, slots=True)
class Packing:
    """The permutation between rows sorted by user and packed order."""

    rows: npt.NDArray[np.int64]
    """Packed position -> row."""
    sequences: npt.NDArray[np.int64]
    """Packed sequence -> run."""
    batch_sizes: npt.NDArray[np.int64] = field(repr=False)

    @classmethod
    def of(cls, runs: Runs) -> "Packing":
        """Pack runs, the longest first, as `torch.nn.utils.rnn.pack_padded_sequence` would."""
        # Order the sequences by length, then the rows by step and place: row = step_start[step] + place.
        lengths = runs.lengths  # (sequences,)
        sequences = np.argsort(-lengths, kind="stable")
        place = np.empty_like(sequences)
        place[sequences] = np.arange(len(sequences))
        batch_sizes = np.bincount(runs.rank, minlength=runs.longest).astype(np.int64)  # (steps,)
        step_start = np.concatenate(([0], np.cumsum(batch_sizes)[:-1]))
        rows = np.empty(len(runs.index), np.int64)
        rows[step_start[runs.rank] + place[runs.index]] = np.arange(len(runs.index))
        return cls(rows, sequences, batch_sizes)

    def pack(self, features: Features, device: torch.device) -> PackedFeatures:
        """Gather features into packed order on the device."""
        return PackedFeatures.of(features, device, self.rows, self.batch_sizes)
