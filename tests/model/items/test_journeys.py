from dataclasses import replace

import msgspec
import numpy as np
import pytest

from model.items.journeys import NONE, JourneyReader
from model.shop import shop_of
from model.validate import BadRow
from service.errors import EvaluationError
from tests.model.items.visits import at, journeys_of, named, read_journeys, visit


def test_events_are_sorted_by_shopper_and_keep_their_order_of_arrival():
    journeys = journeys_of(visit("u", 0, "a", "b"), visit("v", 1, "c", "cart c"), visit("u", 60, "d"))
    assert named(journeys, journeys.items) == ["a", "b", "d", "c", "c"]
    assert journeys.users.tolist() == [0, 0, 0, 1, 1]
    assert journeys.starts.tolist() == [0, 3, 5]
    assert journeys.of_type("cart").tolist() == [False, False, False, False, True]
    assert journeys.session_starts.tolist() == [0, 0, 2, 3, 3]
    assert journeys.session_ends.tolist() == [1, 1, 2, 4, 4]


def test_rows_are_positions_in_the_input_without_bad_rows():
    events = [*visit("u", 0, "search", "a"), *visit("v", 5, "b"), *visit("u", 6, "c")]
    journeys = read_journeys([events[0], BadRow(2, "json", "no JSON", b""), *events[1:]])
    assert [events[row].item_id for row in journeys.rows] == named(journeys, journeys.items) == ["a", "c", "b"]


def test_an_event_without_an_item_keeps_the_session_alive():
    without, with_search = visit("u", 0, "a"), [*visit("u", 0, "a"), *visit("u", 20, "search")]
    later = visit("u", 45, "b")
    assert np.ptp(read_journeys([*without, *later]).sessions) == 1
    assert np.ptp(read_journeys([*with_search, *later]).sessions) == 0


def test_an_impression_is_no_event_but_has_a_position():
    events = [*visit("u", 0, "a"), *visit("u", 60, "b")]
    shown = [msgspec.structs.replace(one, type="impression") for one in visit("u", 20, "c", "d")]
    journeys = read_journeys([shown[0], events[0], shown[1], events[1]])
    assert (journeys.rows.tolist(), named(journeys, journeys.items)) == ([1, 3], ["a", "b"])
    assert journeys.session_starts.tolist() == [0, 1]


def test_a_repeated_event_of_the_same_shopper_is_left_out():
    first, second = visit("u", 0, "a", "b")
    of_another = msgspec.structs.replace(first, user_id="v")
    journeys = read_journeys([first, second, first, of_another])
    assert named(journeys, journeys.items) == ["a", "b", "a"]
    assert journeys.rows.tolist() == [0, 1, 3]


def test_a_late_event_counts_as_simultaneous_with_what_came_before_it():
    early, late = visit("u", 0, "a")[0], visit("u", 10, "b")[0]
    journeys = read_journeys([late, early])
    assert named(journeys, journeys.items) == ["b", "a"]
    assert journeys.time_ms.tolist() == [at(10), at(10)]


def test_items_of_a_catalogue_come_first_and_need_no_event():
    journeys = journeys_of(visit("u", 0, "b", "c"), item_ids=["a", "b", "a"])
    assert journeys.item_ids == ["a", "b", "c"]
    assert journeys.counts().tolist() == [0, 1, 1]


def test_an_event_without_a_category_has_none():
    events = [msgspec.structs.replace(visit("u", 0, "a")[0], category=None), *visit("u", 1, "b")]
    journeys = read_journeys(events)
    assert journeys.categories.tolist() == [NONE, 0]
    assert journeys.category_names == ["B"]


def test_a_shops_own_type_counts_as_what_it_behaves_like():
    rows = visit("u", 0, "lease a")
    assert read_journeys(rows, shop=shop_of({"types": {"lease": "purchase"}})).of_type("purchase").all()
    assert not read_journeys(rows).of_type("purchase").any()


def test_what_is_before_a_time_keeps_all_numbers():
    journeys = journeys_of(visit("u", 0, "a"), visit("v", 1, "b"), visit("u", 60, "c"), visit("w", 61, "d"))
    before = journeys.before(at(60))
    assert named(before, before.items) == ["a", "b"]
    assert before.starts.tolist() == [0, 1, 2, 2]
    assert before.item_ids == journeys.item_ids
    assert replace(before, starts=journeys.starts).sessions.tolist() == [0, 2]


@pytest.mark.parametrize("rows", [[], visit("u", 0, "search")])
def test_without_items_there_is_nothing_to_predict(rows):
    with pytest.raises(EvaluationError, match="not one event has an item"):
        read_journeys(rows)


@pytest.mark.parametrize(
    ("catalogue", "share"), [(["a", "b"], 0.75), (["z"], 0.0), ([], 1.0)], ids=["most", "none", "no catalogue"]
)
def test_the_share_of_events_with_items_of_the_catalogue_is_known(catalogue, share):
    reader = JourneyReader(catalogue)
    for event in visit("u", 0, "a", "search", "b", "c", "a"):
        reader.append(event)
    assert reader.catalogue_share() == share
