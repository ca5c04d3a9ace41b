"""Auxiliary tasks: what the network is asked while it learns, and never when it serves.

A purchase is rare, and whether one follows is a single bit. What a shopper does next, how soon, and whether they come
back is known of nearly every event, and to say it the LSTM has to keep what the horizons need too (Caruana, "Multitask
learning", 1997). The heads of these tasks are thrown away after the training.
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
"""`(events, TASKS)`: a class of each task, UNKNOWN where nobody can know it."""

_LEAVES: Final = len(EVENT_TYPES)
_VIEWS_AGAIN: Final = len(EVENT_TYPES) + 1
_NEXT: Final = len(EVENT_TYPES) + 2
"""Classes of what comes next: a type, a view of the item that was at hand, or nothing more in this session."""
_PAUSES_MS: Final = np.array([5, 15, 30, 60, 120, 300, SESSION_GAP_MS // 1000 + 1]) * 1000
"""Between them lie the classes of how soon it comes; the last one is beyond the session."""
_PAUSE: Final = len(_PAUSES_MS) + 1
_RETURNS_WITHIN_MS: Final = np.array([6, 12, 24, 48, 96]) * HOUR_MS
_BUYS_WITHIN: Final = ("5m", "4h", "12h", "72h", "168h")
_YES_OR_NO: Final = len(_RETURNS_WITHIN_MS) + len(_BUYS_WITHIN)

TASKS: Final = 2 + _YES_OR_NO
_YES_OR_NO_WEIGHT: Final = 0.6
"""Of one of many questions that resemble each other, beside 1 for what comes next and for when."""


class AuxiliaryHeads(nn.Module):
    """The logits of all tasks side by side, from what the horizons' heads see.

    They begin at zero: nothing is drawn, so where they have no weight the rest learns as if they were not there.
    """

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        logits, seen = _NEXT + _PAUSE + _YES_OR_NO, config.hidden_size + len(config.numeric_features)
        self.weight = nn.Parameter(torch.zeros(logits, seen))
        self.bias = nn.Parameter(torch.zeros(logits))

    def loss(self, output: Tensor, inputs: PackedFeatures, right: AuxiliaryTargets) -> Tensor:
        """Return the summed loss of the answers that are known, for the LSTM's output `(events, hidden)`."""
        seen = torch.cat((output, inputs.numeric), dim=1)
        logits = nn.functional.linear(seen, self.weight, self.bias).float()
        targets = torch.from_numpy(right.astype(np.int64)).to(logits.device)
        following, pause, bits = torch.split(logits, [_NEXT, _PAUSE, _YES_OR_NO], dim=1)
        known = (targets[:, 2:] != UNKNOWN).float()
        yes_or_no = nn.functional.binary_cross_entropy_with_logits(
            bits, targets[:, 2:].clamp(min=0).float(), weight=known, reduction="sum"
        )
        return (
            summed_cross_entropy(following, targets[:, 0])
            + summed_cross_entropy(pause, targets[:, 1])
            + _YES_OR_NO_WEIGHT * yes_or_no
        )


def summed_cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the summed loss of `(events, classes)` logits for the right classes `(events,)`, without UNKNOWN ones."""
    return nn.functional.cross_entropy(logits, classes, ignore_index=UNKNOWN, reduction="sum")


def auxiliary_targets(history: History, until_ms: int) -> AuxiliaryTargets:
    """Answer every task from what was applied before `until_ms` alone; later events have no answers.

    An answer is known from the moment on at which it would be settled in any case, or short pauses would be known more
    often than long ones.
    """
    targets: AuxiliaryTargets = history.storage.empty((len(history), TASKS), np.int8)
    for part in history.parts():
        targets[part] = UNKNOWN
        rows = part.start + np.flatnonzero(history.applied_ms[part] < until_ms)
        if len(rows):
            targets[rows] = _targets(history, rows, until_ms)
    return targets


def _targets(history: History, rows: Integers, until_ms: int) -> AuxiliaryTargets:
    """Return the answers of rows that are the beginnings of whole users' histories."""
    users, applied_ms, types = history.users[rows], history.applied_ms[rows], history.type_codes[rows]
    goes_on = np.append(users[1:] == users[:-1], False)
    pause_ms = np.where(goes_on, np.append(np.diff(applied_ms), 0), SESSION_GAP_MS + 1)
    leaves = pause_ms > SESSION_GAP_MS
    is_again = (types == TYPE_CODES["view"]) & _is_item_at_hand(users, history.items[rows])
    shown = np.where(is_again, _VIEWS_AGAIN, types)
    settled = applied_ms + SESSION_GAP_MS < until_ms
    following = np.where(leaves, _LEAVES, np.append(shown[1:], 0))
    pause = np.where(leaves, len(_PAUSES_MS), np.searchsorted(_PAUSES_MS, pause_ms, side="right"))
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


def _is_item_at_hand(users: Integers, items: npt.NDArray[np.uint16]) -> Booleans:
    """Tell which events are of the item that their user's last event with an item was of."""
    has_item = np.flatnonzero(items > 0)
    found = np.zeros(len(users), np.bool_)
    again = (users[has_item][1:] == users[has_item][:-1]) & (items[has_item][1:] == items[has_item][:-1])
    found[has_item[1:][again]] = True
    return found


def _next_session_ms(applied_ms: Integers, goes_on: Booleans, leaves: Booleans) -> Integers:
    """Return when each event's user begins the next session, or never."""
    never = np.iinfo(np.int64).max // 2
    next_ms = np.where(leaves & goes_on, np.append(applied_ms[1:], never), never)
    last = np.flatnonzero(leaves)  # of each session
    return np.asarray(next_ms[last[np.searchsorted(last, np.arange(len(applied_ms)))]])
