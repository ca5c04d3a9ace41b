"""Which item each of the likeliest buyers is likeliest to buy next, asked of a worker's look-up API (docs/api.md)."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from service.errors import CartcastError
from service.worker_client import ask_worker

Ask: TypeAlias = Callable[[Sequence[str]], Mapping[str, str]]
"""From shoppers to the item of each of whom one is known."""

ASKED_SECONDS: Final = 0.5
_QUERY: Final = {"k": 1, "goal": "purchase", "exclude": ["bought", "out_of_stock"]}
_encode: Final = msgspec.json.Encoder().encode


class _Item(msgspec.Struct):
    item_id: str
    title: str | None = None


class _Items(msgspec.Struct):
    items: list[_Item]


class _Result(msgspec.Struct):
    user_id: str
    answer: _Items | None = None


class _Results(msgspec.Struct):
    results: list[_Result]


def ask_next_items(url: str, token: str, user_ids: Sequence[str]) -> dict[str, str]:
    """Return the item of each shopper, by its title if it has one; without those of whom there is none.

    Raises CartcastError.
    """
    body = _encode({"user_ids": user_ids, "items": _QUERY})
    found = ask_worker(url, "/v1/users:batch", _Results, body=body, token=token)
    first = {each.user_id: each.answer.items[0] for each in found.results if each.answer and each.answer.items}
    return {user_id: item.title or item.item_id for user_id, item in first.items()}


def no_next_items(_: Sequence[str]) -> dict[str, str]:
    """Return nothing, for workers without look-ups."""
    return {}


class NextItems:
    """Asks for a few shoppers at a time, in a thread of its own."""

    def __init__(self, ask: Ask, shoppers: Callable[[], Sequence[str]]) -> None:
        """`shoppers` says for whom."""
        self._ask = ask
        self._shoppers = shoppers
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="next-items", daemon=True)
        self.found: Mapping[str, str] = {}
        """By shopper; of those who were asked for last."""

    def start(self) -> None:
        """Ask now and then, until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()
        self._thread.join()

    def look(self) -> None:
        """Ask once; a worker that does not answer leaves what was found."""
        if shoppers := self._shoppers():
            try:
                self.found = self._ask(shoppers)
            except CartcastError:
                return

    def _run(self) -> None:
        while not self._stopping.wait(ASKED_SECONDS):
            self.look()
