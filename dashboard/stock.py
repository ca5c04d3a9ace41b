"""What the catalogue says of items, asked of a worker's look-up API (docs/api.md)."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from dashboard.asking import asked, check_pipeline
from service.worker_client import ask_worker

MOST_ITEMS: Final = 500
"""So many are answered in one call."""
TIMEOUT_SECONDS: Final = 5.0
_encode: Final = msgspec.json.Encoder().encode


class KnownItem(msgspec.Struct, frozen=True):
    """An item as the worker knows it; `in_stock` is None if the shop does not say."""

    item_id: str
    title: str | None = None
    in_stock: bool | None = None


class _KnownItems(msgspec.Struct, frozen=True):
    topic: str
    items: list[KnownItem]


def known_items(
    worker_url: str, item_ids: Sequence[str], topics: Collection[str], *, token: str = ""
) -> dict[str, KnownItem]:
    """Return those of at most MOST_ITEMS items that the worker knows, by their ids.

    Raises LookUpError with a sentence for the page, also if the worker scores none of these topics of events.
    """
    body = _encode({"item_ids": item_ids})
    with asked(worker_url):
        found = ask_worker(
            worker_url, "/v1/items:batch", _KnownItems, body=body, token=token, timeout_seconds=TIMEOUT_SECONDS
        )
    check_pipeline(worker_url, found.topic, topics)
    return {item.item_id: item for item in found.items}
