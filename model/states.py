"""Table values: a user's sequence state and the carried LSTM state (h and c), as bytes and as arrays."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.batch import EventBatch
from model.core.append import Appended, Source, append_events
from model.core.texts import EventTexts
from model.horizons import HORIZONS
from model.layouts import SEQUENCES, as_now
from model.sequence import ID_BITS, LAYOUT, new_sequences, state_dtype, stored_events
from service.errors import CartcastError


class StateLayoutError(CartcastError):
    """A stored state is of a layout that this version cannot read."""


class StateCodec:
    """Turns table values into `(users,)` arrays of `state_dtype(carried_floats, horizons)` and back.

    `model_code` identifies the model; a state whose carried numbers another model wrote is stale.
    """

    def __init__(self, carried_floats: int, model_code: int, horizons: int = len(HORIZONS)) -> None:
        self.dtype = state_dtype(carried_floats, horizons)
        self.model_code = model_code
        blank = np.zeros(1, self.dtype)
        blank["sequence"] = new_sequences(1)
        blank["sequence"]["model"] = model_code
        blank["latest"] = np.nan
        self._blank = blank.tobytes()
        self._blank_record = blank[0]

    def blank(self, users: int) -> npt.NDArray[np.void]:
        """Return the `(users,)` records of users who have done nothing yet."""
        records: npt.NDArray[np.void] = np.full(users, self._blank_record, self.dtype)
        return records

    def gather(self, values: Sequence[bytes | None]) -> npt.NDArray[np.void]:
        """Return a writable array of the values' records, fresh ones for users without a value.

        Raises StateLayoutError.
        """
        size, records = self.dtype.itemsize, [value or self._blank for value in values]
        others = defaultdict[tuple[int, int], list[int]](list)
        for user, record in enumerate(records):
            if record[0] != LAYOUT or len(record) != size:
                others[record[0], len(record)].append(user)
        if not others:
            return np.frombuffer(b"".join(records), self.dtype).copy()
        states = self.blank(len(records))
        for (layout, length), users in others.items():
            states[users] = self._converted(layout, length, b"".join(records[user] for user in users))
        same = np.setdiff1d(np.arange(len(records)), np.concatenate(list(others.values())))
        states[same] = np.frombuffer(b"".join(records[user] for user in same), self.dtype)
        return states

    def scatter(self, states: npt.NDArray[np.void]) -> list[bytes]:
        """Return each record's bytes."""
        size, joined = self.dtype.itemsize, states.tobytes()
        return [joined[start : start + size] for start in range(0, len(joined), size)]

    def stale(self, states: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
        """Return the indices of the states whose carried numbers another model wrote."""
        return np.flatnonzero(states["sequence"]["model"] != self.model_code)

    def _converted(self, layout: int, length: int, joined: bytes) -> npt.NDArray[np.void]:
        """Return the states in records of an earlier layout, or of a model with another size of carried numbers.

        The latter keep their sequence, and are stale.
        """
        sequence = SEQUENCES.get(layout)
        if sequence is None or length < sequence.itemsize:
            raise StateLayoutError(
                f"the changelog holds sequence states of layout {layout} with {length} bytes, this version reads "
                f"layouts {min(SEQUENCES)} to {LAYOUT}: run the version that wrote them, or start from an empty "
                "changelog under another topic prefix"
            )
        records = np.frombuffer(joined, [("sequence", sequence), ("numbers", np.void, length - sequence.itemsize)])
        states = self.blank(len(records))
        states["sequence"] = as_now(records["sequence"])
        numbers = np.dtype([(name, self.dtype[name]) for name in ("carried", "latest")])
        if records["numbers"].itemsize == numbers.itemsize:
            of_model = np.ascontiguousarray(records["numbers"]).view(numbers)
            for name in numbers.names or ():
                states[name] = of_model[name]
        else:
            states["sequence"]["model"] = 0
        return states


def replay_rings(sequences: npt.NDArray[np.void]) -> Appended:
    """Append the events of every user's ring, oldest first, to a new sequence, to rebuild carried numbers from.

    `Appended.users` are indices into `sequences`. Events before the ring are lost, and so are the words of all but the
    last events that had any: the rebuilt numbers differ from those of the whole history.
    """
    users, events = stored_events(sequences)
    return replay_events(users, events, len(sequences))


def replay_events(users: npt.NDArray[np.int64], events: npt.NDArray[np.void], count: int) -> Appended:
    """Append STORED_EVENT records `(events,)` of `count` users to new sequences; `users` are ascending."""
    batch = EventBatch(
        # Copies: columns as a decoder makes them, each in one piece, for which the loop is compiled already.
        positions=np.arange(len(users)),
        texts=EventTexts.none(len(users)),
        type_codes=np.array(events["type"]),
        event_time_ms=events["time_s"] * 1000,
        prices=np.expm1(events["log_price"]),
        event_hashes=np.arange(1, len(users) + 1, dtype=np.uint64) << np.uint64(64 - ID_BITS),
        item_codes=np.array(events["item"]),
        category_codes=np.array(events["category"]),
        token_codes=np.array(events["tokens"]),
    )
    return append_events(new_sequences(count), np.array(users), batch, Source(0, np.arange(len(users))))
