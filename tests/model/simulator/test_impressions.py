from collections import Counter

from model.events import IMPRESSION
from model.simulator import EventWithTruth, SimulationSettings, simulate
from model.simulator.impressions import PLACES, SHOWN, maker_of

SETTINGS = {"events": 20_000, "users": 400, "seed": 7}


def simulated(**settings):
    return list(simulate(SimulationSettings(**SETTINGS | settings)))


def test_lists_change_nothing_else():
    plain = simulated()
    seen = [event for event in simulated(with_impressions=True) if event.type != IMPRESSION]
    assert seen == plain[: len(seen)]
    assert len(seen) > 14_000


def test_lists_come_before_half_of_the_views_of_another_item():
    events = simulated(with_impressions=True)
    lists = {event.event_id.removesuffix("-shown"): event for event in events if event.type == IMPRESSION}
    views = {event.event_id: event for event in events if event.type == "view"}
    others, last = 0, {}
    for view in views.values():
        others += last.get(view.user_id) != view.item_id
        last[view.user_id] = view.item_id
    assert abs(len(lists) / others - SHOWN) < 0.03
    for event_id, shown in lists.items():
        assert (len(shown.items), len(set(shown.items)), shown.item_id) == (PLACES, PLACES, None)
        assert event_id not in views or 0 < views[event_id].ts - shown.ts < 1000
        assert shown.model_version == maker_of(shown.user_id)


def test_half_of_the_shoppers_see_lists_of_either_maker():
    makers = Counter(maker_of(f"shopper-{number:06d}") for number in range(1000))
    assert min(makers.values()) > 430


def test_a_list_is_shown_to_whoever_views_under_whichever_id():
    events = simulated(with_impressions=True, with_logins=True)
    after = {event.event_id: event for event in events if event.type == "view"}
    shown = [event for event in events if event.type == IMPRESSION and event.event_id.removesuffix("-shown") in after]
    assert any(event.user_id.startswith("device-") for event in shown)
    assert all(event.user_id == after[event.event_id.removesuffix("-shown")].user_id for event in shown)


def test_a_list_has_the_truth_of_the_view_after_it():
    events = simulated(with_impressions=True, with_truth=True, events=2000)
    after = {event.event_id: event for event in events if event.type == "view"}
    lists = [event for event in events if event.type == IMPRESSION and event.event_id.removesuffix("-shown") in after]
    assert lists
    for shown in lists:
        assert isinstance(shown, EventWithTruth)
        assert shown.true_24h == after[shown.event_id.removesuffix("-shown")].true_24h
