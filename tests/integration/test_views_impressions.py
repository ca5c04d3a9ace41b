"""What came of the lists that were shown, compared with plain Python over the same rows."""

from collections import Counter

import numpy as np
import pytest

from model.simulator import SimulationSettings, simulate
from model.simulator.impressions import LISTED, PLACES, examined
from tests.harness.stored_scores import HOUR_MS, START_MS, Row, Stored, impression, random_impressions, random_rows

pytestmark = pytest.mark.integration

MINUTE_MS, DAY_MS = 60_000, 24 * HOUR_MS
WINDOWS = {"view": 30 * MINUTE_MS, "cart": DAY_MS, "purchase": DAY_MS}
SUMS = ("shown", "clicks", "shown_a_day", "carts", "purchases")


@pytest.fixture
def stored(database) -> Stored:
    return Stored(database)


def action(number: int, kind: str, item: str, minute: float, user: str = "u") -> Row:
    row = random_rows(number, 1, first=number)[0]
    return row | {
        "user_id": user,
        "event_type": kind,
        "item_id": item,
        "event_time": START_MS + int(minute * MINUTE_MS),
    }


def end(days: float = 2) -> Row:
    """Somebody's event by which the data go on so long."""
    return action(999_999, "search", "", days * 24 * 60, "somebody")


def found(stored: Stored, by: str = "position") -> dict:
    sums = ", ".join(f"sum(o.{name}) AS {name}" for name in SUMS)
    rows = stored.query(f"SELECT {by}, {sums} FROM impression_outcomes AS o GROUP BY {by} ORDER BY {by}")  # noqa: S608
    return {tuple(row[name] for name in by.split(", ")): [row[name] for name in SUMS] for row in rows}


def test_a_click_is_a_view_within_half_an_hour_and_credited_to_the_last_list_before_it(stored):
    stored.add([
        impression(1, ["a", "b"], 0, shown_by="old"), impression(2, ["b", "a"], 10, shown_by="new"),
        action(1, "view", "a", 20), action(2, "view", "b", 40.1), action(3, "view", "a", 20, "another"), end(),
    ])  # fmt: skip
    assert found(stored, "shown_by, position") == {
        ("new", 1): [1, 0, 1, 0, 0],
        ("new", 2): [1, 1, 1, 0, 0],
        ("old", 1): [1, 0, 1, 0, 0],
        ("old", 2): [1, 0, 1, 0, 0],
    }


def test_carts_and_purchases_count_for_a_day_and_once(stored):
    stored.add([
        impression(1, ["a", "b", "c"], 0),
        action(1, "cart", "a", 24 * 60), action(2, "purchase", "a", 60), action(3, "purchase", "a", 70),
        action(4, "cart", "b", 24 * 60 + 0.1), action(5, "purchase", "c", -1), end(),
    ])  # fmt: skip
    assert found(stored) == {(1,): [1, 0, 1, 1, 1], (2,): [1, 0, 1, 0, 0], (3,): [1, 0, 1, 0, 0]}


def test_an_impression_that_was_sent_twice_and_an_item_that_is_twice_in_a_list_count_once(stored):
    again = impression(1, ["a", "b", "a"]) | {"source_offset": 2_000_000}
    stored.add([impression(1, ["a", "b", "a"]), again, action(1, "view", "a", 1), end()])
    assert found(stored) == {(1,): [1, 1, 1, 0, 0], (2,): [1, 0, 1, 0, 0]}


def test_what_is_not_over_is_no_part_of_a_rate(stored):
    stored.add([impression(1, ["a"], 0), action(1, "view", "a", 1), action(2, "cart", "a", 2), end(1 / 24)])
    assert found(stored) == {(1,): [1, 1, 0, 0, 0]}
    stored.add([impression(2, ["a"], 50), action(3, "view", "a", 51)])
    assert found(stored) == {(1,): [1, 1, 0, 0, 0]}


def test_every_list_of_many_shoppers_is_credited_as_one_by_one(stored):
    actions, lists = random_rows(1, 2000, hours=60, users=20), random_impressions(3, 300)
    stored.add([*actions, *lists])
    assert found(stored, "shown_by, placement, position") == expected(lists, actions)


def expected(lists: list[Row], actions: list[Row]) -> dict:
    last = max(row["event_time"] for row in actions)
    sums: dict[tuple, Counter] = {}
    done = set()
    for one in actions:
        before = [
            row for row in lists
            if row["user_id"] == one["user_id"] and one["item_id"] in row["shown"]
            and row["event_time"] <= one["event_time"]
        ]  # fmt: skip
        credited = max(before, key=lambda row: row["event_time"], default=None)
        window = WINDOWS.get(one["event_type"], -1)
        if credited and one["event_time"] - credited["event_time"] <= window:
            done.add((credited["event_id"], one["item_id"], one["event_type"]))
    for row in lists:
        for place, item in enumerate(row["shown"], start=1):
            total = sums.setdefault((row["shown_by"], row["placement"], place), Counter())
            for kind, of, name in (
                ("view", "shown", "clicks"),
                ("cart", "shown_a_day", "carts"),
                ("purchase", "", "purchases"),
            ):
                if row["event_time"] + WINDOWS[kind] <= last:
                    total[of] += 1
                    total[name] += (row["event_id"], item, kind) in done
    return {key: [total[name] for name in SUMS] for key, total in sorted(sums.items())}


def test_views_of_shoppers_and_outcomes_know_nothing_of_impressions(stored):
    """A list between two events joins no sessions, is nobody's latest score, and does not move the end of the data."""
    events = [action(1, "view", "a", 0), action(2, "purchase", "a", 45)]
    stored.add(events)
    views = ("latest_scores", "shopper_outcomes", "data_span", "propensity_by_category", "score_distribution")

    def shown() -> dict[str, str]:
        return {view: str(stored.query(f"SELECT * FROM {view} ORDER BY ALL")) for view in views}  # noqa: S608

    before = shown()
    stored.add([impression(1, ["a"], 20), impression(2, ["a"], 60 * 24 * 3, "w")])
    assert shown() == before
    assert stored.query("SELECT events FROM events_by_hour WHERE event_type = 'impression'") == [{"events": 1}] * 2


def test_the_position_bias_of_simulated_shoppers_is_found_again(stored):
    base = action(0, "view", "", 0)
    events = simulate(SimulationSettings(events=120_000, users=2000, seed=3, with_impressions=True))
    stored.add([
        base | {
            "user_id": event.user_id, "event_id": event.event_id, "event_type": event.type, "event_time": event.ts,
            "item_id": event.item_id or "", "shown": event.items or [], "shown_by": event.model_version or "",
            "source_offset": number,
        }
        for number, event in enumerate(events) if event.type in {"view", "impression"}
    ])  # fmt: skip
    sums = found(stored, "shown_by, position")
    assert set(sums) == {(maker, place) for maker in LISTED for place in range(1, PLACES + 1)}
    for (maker, place), (shown, clicks, *_) in sums.items():
        expected_rate = LISTED[maker] / PLACES * examined(np.array(place))
        by_chance, deviation = 0.002, np.sqrt(expected_rate / shown)
        assert abs(clicks / shown - expected_rate) < 4 * deviation + by_chance
