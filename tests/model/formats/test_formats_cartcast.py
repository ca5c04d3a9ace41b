import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.core.decode import decode_events
from model.events import Event
from model.formats.cartcast import read_rows
from model.validate import BadRow
from tests.harness.records import event_fields

MINIMAL = event_fields()


def rows_of(*values: object):
    return list(read_rows(iter(enumerate((json.dumps(value).encode() for value in values), start=1))))


def test_every_field_survives():
    event = Event(
        event_id="e",
        user_id="u",
        type="review",
        ts=1511539217000,
        item_id="i",
        category="c",
        price=9.5,
        quantity=2,
        rating=4,
        text="très bon",
        context={"device": "phone"},
    )
    assert list(read_rows(iter([(1, msgspec.json.encode(event))]))) == [event]


def test_a_number_as_an_id_and_a_time_as_text_are_accepted():
    (event,) = rows_of({**MINIMAL, "user_id": 42, "ts": "2017-11-24T16:00:17Z"})
    assert (event.user_id, event.ts) == ("42", 1511539217000)


def test_an_unknown_field_and_a_context_that_is_not_flat_are_ignored():
    plain, odd = rows_of(MINIMAL, {**MINIMAL, "shoe_size": 44, "context": {"a": {"b": 1}}})
    assert odd == plain


@pytest.mark.parametrize("field", MINIMAL)
def test_a_missing_field_is_a_bad_row_with_the_fields_name(field):
    (bad,) = rows_of({name: value for name, value in MINIMAL.items() if name != field})
    assert isinstance(bad, BadRow)
    assert bad.reason == field


@given(st.lists(st.binary(max_size=80).filter(lambda raw: b"\n" not in raw) | st.just(json.dumps(MINIMAL).encode())))
def test_what_is_accepted_is_what_the_worker_accepts(values):
    rows = list(read_rows(iter(enumerate(values))))
    _, rejects = decode_events(values) if values else (None, [])
    assert [row.line for row in rows if isinstance(row, BadRow)] == [reject.position for reject in rejects]


def test_an_impression_keeps_its_list_and_what_else_it_says():
    shown = {"event_id": "e", "user_id": "u", "type": "impression", "ts": 1767571200000, "items": ["a", "b"]}
    (event,) = rows_of(shown | {"model_version": "m1", "placement": "home", "context": {"device": "phone"}})
    assert (event.items, event.model_version, event.placement) == (["a", "b"], "m1", "home")
    assert event.context == {"device": "phone"}


def test_an_impression_with_numbers_as_ids_is_read_and_one_without_items_is_a_bad_row():
    shown = {"event_id": "e", "user_id": "u", "type": "impression", "ts": 1767571200000}
    event, bad = rows_of(shown | {"items": [1, "b"]}, shown)
    assert event.items == ["1", "b"]
    assert bad.reason == "items"


def test_items_of_an_event_that_is_none_are_left_out():
    cart = {"event_id": "e", "user_id": "u", "type": "cart", "ts": 1767571200000, "context": {"device": "phone"}}
    (event,) = rows_of(cart | {"items": [{"id": "a"}], "placement": 3})
    assert (event.type, event.items, event.placement, event.context) == ("cart", None, None, {"device": "phone"})
