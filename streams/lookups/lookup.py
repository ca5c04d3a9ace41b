"""Looking up one shopper in the sequences table, and explaining a propensity of theirs.

A table value is bytes that nobody changes, so that what is read here stays whole while scoring goes on.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from model.batch import event_hash
from model.explain import Explainer, place_of
from model.sequence import RING_EVENTS, own_of
from model.states import StateCodec
from streams.identity import joined_to
from streams.lookups.answering import explanation_answer, shopper_answer
from streams.lookups.answers import AsOf, Shopper, ShopperExplanation
from streams.partition_states import PartitionStates
from streams.tables import SequenceStore

_MOST_WAITING: Final = 4
"""Explanations that run or wait; each takes some ten milliseconds of a core that scoring needs too."""

Result = TypeVar("Result")
State = npt.NDArray[np.void]
"""One table value `(1,)`."""


class NotHereError(Exception):
    """This worker does not own the shopper's partition."""


class RestoringError(Exception):
    """This worker owns the shopper's partition and is still reading its states from the changelog."""


class UnknownShopperError(Exception):
    """No event of this shopper has been accepted."""


class JoinedError(Exception):
    """The id has done nothing since its state went to a user."""

    def __init__(self, user: bytes) -> None:
        super().__init__()
        self.user = user


class NotStoredError(Exception):
    """The event is not among the shopper's stored ones."""


class BusyError(Exception):
    """More explanations are asked for at the same time than this worker makes."""


class Lookup:
    """Answers for the shoppers of the partitions that this worker owns."""

    def __init__(  # noqa: PLR0913 - what an answer is made from
        self,
        store: Callable[[], SequenceStore],
        codec: StateCodec,
        explainer: Explainer,
        *,
        model: str,
        topic: str,
        source_code: int,
    ) -> None:
        """Make one of the table's storage, and of a codec and an explainer of the model whose version is `model`."""
        self._store = store
        self._codec = codec
        self._explainer = explainer
        self._model = model
        self.topic = topic
        self._source_code = source_code
        self._thread = ThreadPoolExecutor(1, "explain")
        self._waiting = 0

    async def shopper(self, user: bytes, partition: int) -> Shopper:
        """Return what is known of a shopper of this partition; raises this module's errors."""
        state = self.state(user, partition)
        known = self._published(state)
        propensities: npt.NDArray[np.floating[Any]] = (
            await self._computed(lambda: self._explainer.from_ring(state["sequence"], own_of(state)))
            if known is None
            else known
        )
        return shopper_answer(
            user.decode(),
            state["sequence"],
            propensities,
            self._explainer.horizons,
            model=self._model,
            rebuilt=known is None,
            as_of=self.as_of(state, partition),
            joined_to=self.joined_before(user, partition),
        )

    async def explanation(self, user: bytes, partition: int, event_id: str | None) -> ShopperExplanation:
        """Explain the propensities after an event, the last one if None; raises this module's errors."""
        state = self.state(user, partition)
        sequence = state["sequence"]
        last = min(int(sequence["events"][0]), RING_EVENTS) - 1
        place = last if event_id is None else place_of(sequence, event_hash(event_id))
        if place is None:
            raise NotStoredError
        explanation = await self._computed(lambda: self._explainer.explain(sequence, place, own_of(state)))
        return explanation_answer(
            user.decode(),
            explanation,
            self._published(state) if place == last else None,
            self._explainer.horizons,
            model=self._model,
            as_of=self.as_of(state, partition),
        )

    def state(self, user: bytes, partition: int) -> State:
        """Return a copy of a shopper's table value; raises this module's errors."""
        states: PartitionStates | None = self._store().partitions.get(partition)
        if states is None:
            raise NotHereError
        if not states.restored.done():
            raise RestoringError
        if (state := states.record(user)) is None or not state["sequence"]["events"][0]:
            if (joined := joined_to(states, user)) is not None:
                raise JoinedError(joined.user_id.encode())
            raise UnknownShopperError
        return state

    def nobody(self) -> State:
        """Return the table value of somebody who has done nothing."""
        return self._codec.blank(1)

    def joined_before(self, user: bytes, partition: int) -> str | None:
        """Return the user to whom an id of this partition was joined last, None if it never was."""
        joined = joined_to(self._store().partitions[partition], user)
        return None if joined is None else joined.user_id

    def _published(self, state: State) -> npt.NDArray[np.float32] | None:
        """Return the propensities that this model published after the shopper's last event, if it did."""
        latest: npt.NDArray[np.float32] = state["latest"][0]
        is_stale = len(self._codec.stale(state)) > 0
        return None if is_stale or not np.isfinite(latest).all() else latest

    async def _computed(self, work: Callable[[], Result]) -> Result:
        """Run work in the thread for explanations, away from the event loop and from the device that scores."""
        if self._waiting >= _MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1

    def as_of(self, state: State, partition: int) -> AsOf:
        """Say up to which record a state knows its shopper."""
        sequence = state["sequence"][0]
        offset = int(sequence["offset"]) if int(sequence["source"]) == self._source_code else None
        return AsOf(self.topic, partition, offset)
