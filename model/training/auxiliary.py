"""Auxiliary tasks: heads that exist only during training (Caruana, "Multitask learning", 1997).

A purchase is rare, and its label is a single bit. What a shopper does next, how soon, and whether they return is known
for nearly every event, and the LSTM needs the same state to predict it. These heads are discarded after training.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.arrays import Booleans, Integers
from model.events import EVENT_TYPES, TYPE_CODES
from model.heads import UNKNOWN
from model.horizons import HOUR_MS, SESSION_GAP_MS
from model.lstm import LSTMConfig, PackedFeatures
from model.training.history import History
from model.training.labels import label_events

AuxiliaryTargets = npt.NDArray[np.int8]
"""`(events, TASKS)`: the class of each task, or UNKNOWN."""

_LEAVES: Final = len(EVENT_TYPES)
_VIEWS_AGAIN: Final = len(EVENT_TYPES) + 1
_NEXT: Final = len(EVENT_TYPES) + 2
"""Number of classes of the next event: a type, another view of the same item, or nothing more in this session."""
_PAUSES_MS: Final = np.array([5, 15, 30, 60, 120, 300, SESSION_GAP_MS // 1000 + 1]) * 1000
"""Bin edges of the time until the next event; the last bin is beyond the session."""
_PAUSE: Final = len(_PAUSES_MS) + 1
_RETURNS_WITHIN_MS: Final = np.array([6, 12, 24, 48, 96]) * HOUR_MS
_BUYS_WITHIN: Final = ("5m", "4h", "12h", "72h", "168h")
_BINARY: Final = len(_RETURNS_WITHIN_MS) + len(_BUYS_WITHIN)

TASKS: Final = 2 + _BINARY
_BINARY_WEIGHT: Final = 0.6
"""Weight of each binary task, because they are similar; next event and time until it have weight 1."""


class AuxiliaryHeads(nn.Module):
    """One linear layer for the logits of all tasks, with the input of the horizons' heads.

    Initialised to zero, without random numbers: with a weight of 0, training is as if they did not exist.
    """

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        logits, seen = _NEXT + _PAUSE + _BINARY, config.hidden_size + len(config.numeric_inputs)
        self.weight = nn.Parameter(torch.zeros(logits, seen))
        self.bias = nn.Parameter(torch.zeros(logits))

    def loss(self, output: Tensor, inputs: PackedFeatures, targets: AuxiliaryTargets) -> Tensor:
        """Return the summed loss over known targets `(events, TASKS)`, for the LSTM's output `(events, hidden)`."""
        seen = torch.cat((output, inputs.numeric), dim=1)  # (events, hidden + numeric features)
        logits = nn.functional.linear(seen, self.weight, self.bias).float()
        classes = torch.from_numpy(targets.astype(np.int64)).to(logits.device)  # (events, TASKS)
        following, pause, binary = torch.split(logits, [_NEXT, _PAUSE, _BINARY], dim=1)
        known = (classes[:, 2:] != UNKNOWN).float()
        binary_loss = nn.functional.binary_cross_entropy_with_logits(
            binary, classes[:, 2:].clamp(min=0).float(), weight=known, reduction="sum"
        )
        return (
            summed_cross_entropy(following, classes[:, 0])
            + summed_cross_entropy(pause, classes[:, 1])
            + _BINARY_WEIGHT * binary_loss
        )


def summed_cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the summed loss of `(events, classes)` logits for the right classes `(events,)`, without UNKNOWN ones."""
    return nn.functional.cross_entropy(logits, classes, ignore_index=UNKNOWN, reduction="sum")


def auxiliary_targets(history: History, until_ms: int) -> AuxiliaryTargets:
    """Return the targets of all tasks from events applied before `until_ms` alone; UNKNOWN for later events.

    A target is known only when it would be known whatever its value: otherwise short pauses would be known more often
    than long ones.
    """
    targets: AuxiliaryTargets = history.storage.empty((len(history), TASKS), np.int8)
    for part in history.parts():
        targets[part] = UNKNOWN
        rows = part.start + np.flatnonzero(history.applied_ms[part] < until_ms)
        if len(rows):
            targets[rows] = _targets(history, rows, until_ms)
    return targets


def _targets(history: History, rows: Integers, until_ms: int) -> AuxiliaryTargets:
    """Return the targets of rows that hold the first events of each user's history."""
    users, applied_ms, types = history.users[rows], history.applied_ms[rows], history.type_codes[rows]
    # (events,) each: time until the user's next event, and whether the session ends before it
    goes_on = np.append(users[1:] == users[:-1], False)
    pause_ms = np.where(goes_on, np.append(np.diff(applied_ms), 0), SESSION_GAP_MS + 1)
    leaves = pause_ms > SESSION_GAP_MS
    # (events,) each: class of the next event, class of the pause
    is_again = (types == TYPE_CODES["view"]) & _is_same_item(users, history.items[rows])
    shown = np.where(is_again, _VIEWS_AGAIN, types)
    settled = applied_ms + SESSION_GAP_MS < until_ms
    following = np.where(leaves, _LEAVES, np.append(shown[1:], 0))
    pause = np.where(leaves, len(_PAUSES_MS), np.searchsorted(_PAUSES_MS, pause_ms, side="right"))
    # (events, tasks): the binary tasks
    bought = label_events(users, applied_ms, types == TYPE_CODES["purchase"], _BUYS_WITHIN)
    returns_ms = _next_session_ms(applied_ms, goes_on, leaves)[:, None] - applied_ms[:, None]
    return np.column_stack(
        (
            _where(settled, following),
            _where(settled, pause),
            _where(applied_ms[:, None] + _RETURNS_WITHIN_MS < until_ms, returns_ms <= _RETURNS_WITHIN_MS),
            _where(bought.known_by(until_ms - 1), bought.bought),
        )
    )


def _where(known: Booleans, targets: npt.NDArray[np.generic]) -> AuxiliaryTargets:
    return np.where(known, targets.astype(np.int8), np.int8(UNKNOWN))


def _is_same_item(users: Integers, items: npt.NDArray[np.uint16]) -> Booleans:
    """Return which events have the same item as their user's previous event with an item `(events,)`."""
    has_item = np.flatnonzero(items > 0)
    found = np.zeros(len(users), np.bool_)
    again = (users[has_item][1:] == users[has_item][:-1]) & (items[has_item][1:] == items[has_item][:-1])
    found[has_item[1:][again]] = True
    return found


def _next_session_ms(applied_ms: Integers, goes_on: Booleans, leaves: Booleans) -> Integers:
    """Return when the user of each event starts the next session, or a time beyond all others `(events,)`."""
    never = np.iinfo(np.int64).max // 2
    next_ms = np.where(leaves & goes_on, np.append(applied_ms[1:], never), never)
    last = np.flatnonzero(leaves)  # of each session
    return np.asarray(next_ms[last[np.searchsorted(last, np.arange(len(applied_ms)))]])
