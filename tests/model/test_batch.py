import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.batch import batch_of, event_hash, id_code
from model.events import EVENT_TYPES, Event
from model.items.codes import item_codes
from model.validate import WireEvent

texts = st.text(st.characters(exclude_categories=["Cs"]))
events = st.builds(
    Event,
    event_id=texts,
    user_id=texts,
    type=st.sampled_from(EVENT_TYPES) | texts,
    ts=st.integers(946_684_800_000, 4_102_444_799_999),
    item_id=st.none() | texts,
    category=st.none() | texts,
    price=st.none() | st.floats(0, 1e308),
)


@given(st.lists(events, max_size=20))
def test_every_column_holds_its_field_of_every_event(given_events):
    batch = batch_of(given_events)
    assert len(batch) == len(given_events)
    assert batch.positions.tolist() == list(range(len(given_events)))
    for row, event in enumerate(given_events):
        assert batch.user_ids[row] == event.user_id
        assert batch.event_ids[row] == event.event_id
        assert (batch.item_ids[row], batch.categories[row]) == (event.item_id, event.category)
        assert batch.event_time_ms[row] == event.ts
        assert batch.event_hashes[row] == event_hash(event.event_id)
        assert batch.item_codes[row] == item_codes([event.item_id])[0]
        assert batch.category_codes[row] == id_code(event.category)
        expected = event.type if event.type in EVENT_TYPES else "other"
        assert EVENT_TYPES[batch.type_codes[row]] == expected
        assert batch.prices[row] == event.price if event.price is not None else math.isnan(batch.prices[row])


def test_positions_are_kept_where_they_are_given():
    event = WireEvent("e", "u", "view", 1_700_000_000_000)
    assert batch_of([event, event], np.array([3, 8])).positions.tolist() == [3, 8]


@given(texts)
def test_hashes_are_never_the_mark_of_an_empty_slot(identifier):
    assert 1 <= event_hash(identifier) < 2**64
    assert id_code(identifier) == 0 if identifier == "" else 1 <= id_code(identifier) <= 65535


@pytest.mark.parametrize(
    ("identifier", "code", "hashed"),
    [("", 0, 3244421341483603138), ("sku-1", 13268, 16031833883593195447), ("ü", 9983, 6748675957732712302)],
)
def test_codes_are_the_same_in_every_process(identifier, code, hashed):
    """States in a changelog hold them: another hash function needs another layout."""
    assert (id_code(identifier), event_hash(identifier)) == (code, hashed)


def test_no_id_has_code_0():
    assert id_code(None) == 0
