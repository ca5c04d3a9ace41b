from collections import Counter

from model.horizons import SESSION_GAP_MS
from model.simulator import SimulationSettings, simulate

SETTINGS = {"events": 20_000, "users": 400, "seed": 7}


def simulated(**settings):
    return list(simulate(SimulationSettings(**SETTINGS | settings)))


def test_the_same_shoppers_do_the_same_under_other_ids():
    plain = {event.event_id: event for event in simulated()}
    seen = [event for event in simulated(with_logins=True) if event.type != "identify"]
    for event in seen:
        known = plain[event.event_id]
        assert (event.type, event.ts, event.item_id, event.price) == (known.type, known.ts, known.item_id, known.price)
        assert event.user_id == known.user_id or event.user_id.startswith("device-")
        assert (event.anonymous_id is None) == event.user_id.startswith("device-")
    assert len(seen) > 18_000


def test_most_visits_begin_anonymously_and_whoever_buys_is_known():
    events = simulated(with_logins=True)
    assert all(event.user_id.startswith("shopper-") for event in events if event.type == "purchase")
    last, begun = {}, Counter()
    for event in events:
        person = event.user_id[-6:]
        if event.ts - last.get(person, 0) > SESSION_GAP_MS:
            begun[event.user_id.partition("-")[0]] += 1
        last[person] = event.ts
    assert 0.4 < begun["device"] / begun.total() < 0.8


def test_devices_are_shared_and_some_identities_come_late():
    events = simulated(with_logins=True)
    pairs = {(event.anonymous_id, event.user_id) for event in events if event.anonymous_id}
    assert max(Counter(device for device, _ in pairs).values()) == 2
    identified, behind = set(), 0
    for event in events:
        identified |= {(event.anonymous_id, event.user_id)} if event.type == "identify" else set()
        behind += event.type != "identify" and (event.anonymous_id, event.user_id) not in identified
    assert behind > 10


def test_a_login_has_a_truth_and_no_item():
    logins = [event for event in simulated(with_logins=True, with_truth=True) if event.type == "identify"]
    assert all(login.item_id is None and 0 <= login.true_24h <= 1 for login in logins)
    assert any(login.true_24h > 0 for login in logins)
    assert len({login.event_id for login in logins}) == len(logins)
