"""Which items a shopper is likeliest to want next, and why: for the look-up API."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar, cast

import msgspec
import numpy as np

from streams.lookups.answers import ShopperItems, SimilarItems, Suggestion
from streams.lookups.item_query import ItemQuery
from streams.lookups.lookup import BusyError, Lookup, State, UnknownShopperError
from streams.lookups.suggester import Suggester

_MOST_WAITING: Final = 64
_MOST_ITEMS_AT_ONCE: Final = 20_000

Result = TypeVar("Result")
_Asked = tuple[State, asyncio.Future[bytes]]


class ItemRecommender:
    """Answers with the items of a catalogue for shoppers of this worker."""

    def __init__(self, look_up: Lookup, suggester: Suggester) -> None:
        self.suggester = suggester
        self._look_up = look_up
        self._thread = ThreadPoolExecutor(1, "recommend")
        self._waiting = 0
        self._asked = dict[ItemQuery, list[_Asked]]()
        """What is not being answered yet, the query that came first first."""
        self._answering: asyncio.Task[None] | None = None

    async def items(self, user: bytes, partition: int, query: ItemQuery) -> ShopperItems:
        """Return items for a shopper of this partition, also for one who is new; raises `lookup`'s errors."""
        try:
            state = self._look_up.state(user, partition)
            as_of = self._look_up.as_of(state, partition)
        except UnknownShopperError:
            state, as_of = self._look_up.nobody(), None
        with self._place():
            suggestions = await self._suggested(state, query)
        written = cast("list[Suggestion]", msgspec.Raw(suggestions))  # JSON is what becomes of it anyway
        version, status = self.suggester.version, self.suggester.rules.status
        return ShopperItems(user.decode(), query.goal, version, written, as_of, status)

    async def similar(self, row: int, count: int) -> SimilarItems:
        """Return the items most like the one of a catalogue's row."""
        with self._place():
            return await self._in_thread(self.suggester.like, row, count)

    def _suggested(self, state: State, query: ItemQuery) -> asyncio.Future[bytes]:
        """Return what will be the suggestions: whoever asks while others are answered is answered with all who wait."""
        loop = asyncio.get_running_loop()
        suggestions: asyncio.Future[bytes] = loop.create_future()
        self._asked.setdefault(query, []).append((state, suggestions))
        if self._answering is None or self._answering.done():
            self._answering = loop.create_task(self._answer())
        return suggestions

    async def _answer(self) -> None:
        """Answer until nobody waits, those with the same query together."""
        while self._asked:
            query = next(iter(self._asked))
            asked = self._asked.pop(query)
            at_once = max(_MOST_ITEMS_AT_ONCE // query.k, 1)
            if later := asked[at_once:]:
                self._asked[query] = later
            await self._answer_some(query, asked[:at_once])

    async def _answer_some(self, query: ItemQuery, asked: Sequence[_Asked]) -> None:
        states = np.concatenate([state for state, _ in asked])
        answers = [suggestions for _, suggestions in asked]
        try:
            lists = await self._in_thread(self.suggester.for_states, states, query)
        except Exception as failure:  # noqa: BLE001 - whatever it is, those who wait are told
            for answer in answers:
                if not answer.done():
                    answer.set_exception(failure)
            return
        for answer, written in zip(answers, lists, strict=True):
            if not answer.done():  # whose client has not left
                answer.set_result(written or b"")

    async def _in_thread(self, work: Callable[..., Result], *arguments: Any) -> Result:  # noqa: ANN401 - the work's
        """Work away from the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *arguments))

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take one of the places of those who wait; raises BusyError."""
        if self._waiting >= _MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
