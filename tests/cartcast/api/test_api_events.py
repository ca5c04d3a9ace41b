"""Histories from files, frames and the simulator: the same events, whatever they come in."""

import datetime
import json

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import cartcast
from cartcast.api.events import events_of
from model.events import Event
from tests.harness.records import event_fields

ROWS = [
    event_fields(event_id="a", type="view", item_id="sku-1", price=9.5),
    event_fields(event_id="b", type="search", ts=1_511_539_218_000, text="boots"),
]
EVENTS = [Event(**row) for row in ROWS]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop.jsonl"
    path.write_text("\n".join(map(json.dumps, [ROWS[0], {"user_id": "u"}, ROWS[1]])))
    return path


@pytest.mark.parametrize(
    "given",
    [
        ROWS,
        EVENTS,
        pd.DataFrame(ROWS),
        pl.DataFrame(ROWS),
        pa.Table.from_pylist([row | {"text": row.get("text")} for row in ROWS]),
        cartcast.Events(lambda _shop: iter(EVENTS)),
    ],
    ids=["dicts", "events", "pandas", "polars", "arrow", "history"],
)
def test_a_history_may_be_given_in_any_form(given):
    assert list(events_of(given)) == EVENTS
    assert list(events_of(given)) == EVENTS  # as often as one likes


def test_a_file_is_read_again_whenever_it_is_needed(file):
    events = cartcast.read(file)
    for _ in range(2):
        with pytest.warns(
            UserWarning, match=r"1 of 3 rows are no events and left out; the first is row 2: event_id is"
        ):
            assert list(events) == EVENTS
        assert (events.bad_rows, events.first_bad_rows[0].line) == (1, 2)
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        assert list(events_of(str(file))) == EVENTS
    with pytest.warns(UserWarning, match="2 of 6 rows"):
        assert list(cartcast.read([file, file], "cartcast")) == [*EVENTS, *EVENTS]


def test_a_bad_row_ends_a_strict_reading(file):
    with pytest.raises(cartcast.CartcastError, match="line 2"):
        list(cartcast.read(file, strict=True))


@pytest.mark.parametrize(
    ("moment", "ts"),
    [
        (datetime.datetime(2026, 1, 5), 1_767_571_200_000),  # noqa: DTZ001 - that of a frame without zones
        (datetime.datetime(2026, 1, 5, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))), 1_767_571_200_000),
        ("2026-01-05T00:00:00Z", 1_767_571_200_000),
        (1_767_571_200_000, 1_767_571_200_000),
    ],
)
def test_times_of_frames_are_moments_and_those_without_a_zone_are_utc(moment, ts):
    for library in (pd.DataFrame, pl.DataFrame):
        (event,) = events_of(library([event_fields(ts=moment)]))
        assert event.ts == ts


def test_a_frame_without_ids_of_events_gets_the_numbers_of_its_rows():
    frame = pd.DataFrame(ROWS).drop(columns="event_id")
    assert [event.event_id for event in events_of(frame)] == ["1", "2"]


def test_nothing_in_a_cell_is_nothing():
    frame = pd.DataFrame([event_fields(item_id=None, price=float("nan")), event_fields(event_id="f", item_id="i")])
    assert [(event.item_id, event.price) for event in events_of(frame)] == [(None, None), ("i", None)]
    nested = pl.DataFrame([event_fields(context={"channel": "email", "device": None})])
    assert [event.channel for event in events_of(nested)] == ["email"]


def test_what_is_no_history_is_refused_in_words():
    for given, told in ((pd.DataFrame({"user": []}), "no column user_id; it has user"), (5, "int is no history"),
                        (b"x", "bytes is no history"), ({"a": 1}, "dict is no history")):  # fmt: skip
        with pytest.raises(cartcast.CartcastError, match=told):
            list(events_of(given))
    with pytest.raises(cartcast.CartcastError, match="is no format"):
        cartcast.read("x.csv", "cvs")


def test_a_simulated_shop_is_the_same_for_a_seed_and_goes_out_as_frames():
    events = cartcast.simulate(300, users=20, seed=3)
    assert list(events) == list(events) == list(cartcast.simulate(300, users=20, seed=3))
    assert list(events) != list(cartcast.simulate(300, users=20, seed=4))
    shown = Event("i", "u", "impression", 1_767_571_200_000, items=["a", "b"], placement="home")
    (again,) = events_of(events_of([shown]).to_polars())
    assert again == shown
    for frame in (events.to_arrow(), events.to_pandas(), events.to_polars()):
        assert [event.item_id for event in events_of(frame)] == [event.item_id for event in events]
        assert [event.ts for event in events_of(frame)] == [event.ts for event in events]
