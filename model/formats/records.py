"""Decoders of what the events topic may carry: canonical events, or those of another system, one event per record."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from model.batch import EventBatch
from model.core.decode import decode_each, decode_events
from model.core.shop_tables import ShopTables
from model.events import InputFormat
from model.formats import ga4, segment
from model.shop import NO_SHOP, Shop
from model.validate import Reject

Values: TypeAlias = Sequence[bytes | None]
Decode: TypeAlias = Callable[[Values, Values | None], tuple[EventBatch, list[Reject]]]
"""From records' values and keys to events and rejects; as in `decode_events`, keys of None are not checked.

A time may lie in any year: a record has a timestamp, which says when its event happened if its producer's clock cannot.
"""

_FORMATS: Final = {"segment": segment.FORMAT, "ga4": ga4.FORMAT}


def decoder_of(input_format: InputFormat, shop: Shop = NO_SHOP) -> Decode:
    """Return what decodes the records of a topic of this format, with what a shop defines of its own."""
    if input_format == "cartcast":
        return partial(decode_events, tables=ShopTables.of(shop), any_year=True)
    form = _FORMATS[input_format]
    return partial(decode_each, one_event=partial(form.one_event, to_event=form.for_shop(shop)), shop=shop)
