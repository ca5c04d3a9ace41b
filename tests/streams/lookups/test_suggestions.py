"""The compiled writer of suggestions, against msgspec."""

from itertools import pairwise

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.core.byte_strings import ByteStrings
from model.core.rank_items import REASONS, Rankings
from model.events import EVENT_TYPES
from model.sequence import ID_BITS, hexadecimal
from streams.lookups.answers import Reason, StoredEvent, Suggestion
from streams.lookups.suggestions import Held, Said, written_suggestions

PLACES = 3
TEXTS = st.text(max_size=20)
SAID = st.tuples(TEXTS, st.none() | TEXTS, st.none() | TEXTS, st.none() | st.floats(0, 1e9))
LOGITS = st.floats(-1e6, 1e6, width=32) | st.sampled_from([-0.0, -0.00001, 0.00005, 100.0, float("nan"), float("inf")])
REASON = st.tuples(st.integers(-1, PLACES - 1), st.floats(0.0625, 50, width=32))
EVENT = st.tuples(st.integers(0, 2**32), st.integers(0, len(EVENT_TYPES) - 1), st.integers(0, 2**ID_BITS - 1), SAID)
RANKED = st.tuples(SAID, LOGITS, st.booleans(), st.lists(REASON, min_size=REASONS, max_size=REASONS))
SHOPPER = st.tuples(st.lists(RANKED, max_size=4), st.lists(EVENT, min_size=PLACES, max_size=PLACES))
ROWS = 6
"""The rows of ranked items, of which four are learnt from."""
SEEN = np.array([0, 4, 5, 9])


def expected(shopper, rows, boosts):
    ranked, events = shopper
    suggestions = []
    for ((item_id, title, category, price), score, is_pinned, reasons), row in zip(ranked, rows, strict=True):
        why = [Reason("boosted", contribution=round(float(boosts[row]), 4))] if len(boosts) and boosts[row] else []
        for place, by in reasons:
            if place >= 0:
                time_s, code, id_hash, (of_item, of_title, _, _) = events[place]
                event = StoredEvent(time_s * 1000, EVENT_TYPES[code], hexadecimal(id_hash))
                why.append(Reason("event", event, of_item, of_title, round(by, 4)))
        why = why or [Reason("new" if row >= len(SEEN) or SEEN[row] < 5 else "popular")]
        pinned = [Reason("pinned")] if is_pinned else []
        rounded = round(float(np.float32(score)), 4)
        suggestions.append(Suggestion(item_id, rounded, title, category, price, [*pinned, *why]))
    return msgspec.json.encode(suggestions)


@given(st.lists(SHOPPER, min_size=1, max_size=3), st.booleans(), st.integers(0, 1000))
def test_suggestions_are_written_as_msgspec_writes_them(shoppers, has_boosts, seed):
    random, most = np.random.default_rng(seed), max(len(ranked) for ranked, _ in shoppers)
    shape = len(shoppers), most
    boosts = (random.integers(-1, 2, ROWS) * random.random(ROWS) if has_boosts else np.empty(0)).astype(np.float32)
    found = Rankings(
        np.array([len(ranked) for ranked, _ in shoppers]),
        random.integers(0, ROWS, shape),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.bool_),
        np.full((*shape, REASONS), -1, np.int8),
        np.zeros((*shape, REASONS), np.float32),
    )
    said = [msgspec.json.encode(each[0]) for ranked, _ in shoppers for each in ranked]
    said += [msgspec.json.encode(event[3]) for _, events in shoppers for event in events]
    spans, buffer = iter(pairwise(np.cumsum([0, *map(len, said)]).tolist())), np.frombuffer(b"".join(said), np.uint8)
    ranked_spans, held_spans = np.zeros((*shape, 2), np.int64), np.zeros((len(shoppers), PLACES, 2), np.int64)
    for number, (ranked, _) in enumerate(shoppers):
        for place, (_, score, is_pinned, reasons) in enumerate(ranked):
            ranked_spans[number, place] = next(spans)
            found.scores[number, place], found.is_pinned[number, place] = score, is_pinned
            found.reasons[number, place] = [of_place for of_place, _ in reasons]
            found.contributions[number, place] = [by for _, by in reasons]
    for number in range(len(shoppers)):
        held_spans[number] = [next(spans) for _ in range(PLACES)]
    times_s, types, hashes = ([[event[column] for event in events] for _, events in shoppers] for column in range(3))
    held = Held(np.array(times_s, np.int64), np.array(types, np.uint8), np.array(hashes, np.uint64))
    written = written_suggestions(found, held, Said(buffer, ranked_spans, held_spans), boosts, SEEN)
    assert isinstance(written, ByteStrings)
    for number, shopper in enumerate(shoppers):
        assert written[number] == expected(shopper, found.rows[number, : len(shopper[0])], boosts)
