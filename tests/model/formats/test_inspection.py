from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.events import EVENT_TYPES, Event
from model.formats.inspection import HorizonRate, inspect_rows
from model.formats.inspection_notes import notes_on
from model.validate import BadRow
from service.errors import FormatError

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000
HORIZONS = ("session", "1h", "24h")


def event(minute: float, user: str = "u", type_: str = "view", event_id: str | None = None, **fields) -> Event:
    ts = START_MS + int(minute * MINUTE_MS)
    return Event(event_id=event_id or f"{user}-{type_}-{ts}", user_id=user, type=type_, ts=ts, **fields)


def inspected(*rows: Event | BadRow, horizons=HORIZONS):
    return inspect_rows([("events.csv", rows)], horizons)


def test_what_was_counted_is_told():
    found = inspected(
        event(0, item_id="i", price=2.0),
        event(1, type_="purchase", item_id="i"),
        event(2, "v", "wave"),
        event(60, text="boots"),
    )
    assert (found.events, found.users, found.buyers) == (4, 2, 1)
    assert {name: count for name, count in found.types.items() if count} == {"view": 2, "purchase": 1, "other": 1}
    assert tuple(found.types) == EVENT_TYPES
    assert (found.first_ms, found.last_ms) == (START_MS, START_MS + 60 * MINUTE_MS)
    assert {name: count for name, count in found.filled.items() if count} == {"item_id": 2, "price": 1, "text": 1}
    assert (found.sessions, found.sessions_with_purchase) == (3, 1)
    assert (found.events_per_user["min"], found.events_per_user["max"]) == (1, 3)


def test_an_event_that_a_user_sent_before_counts_once():
    found = inspected(event(0), event(1, event_id="e"), event(1, event_id="e"), event(5, "v", event_id="e"))
    assert (found.events, found.duplicates, found.types["view"]) == (3, 1, 3)


def test_a_base_rate_leaves_out_what_the_data_cannot_tell():
    rows = [event(0), event(10, type_="purchase"), event(200, "v"), event(24 * 60 + 10, "v")]
    assert inspected(*rows).horizons == {
        "session": HorizonRate(1 / 3, known=3, unknown=1),
        "1h": HorizonRate(1 / 3, known=3, unknown=1),
        "24h": HorizonRate(0.5, known=2, unknown=2),
    }


def test_a_wrong_clock_makes_no_label_known():
    rows = [event(minute / 10) for minute in range(1200)]
    year_2099 = event((4_080_000_000_000 - START_MS) / MINUTE_MS, "v")
    usual, with_wrong_clock = inspected(*rows).horizons, inspected(*rows, year_2099).horizons
    assert {name: rate.known for name, rate in with_wrong_clock.items()} == {
        name: rate.known for name, rate in usual.items()
    }


def test_bad_rows_are_grouped_by_reason_with_the_lines_of_the_first():
    bad = [BadRow(line, "price", f"price is wrong in {line}", b"") for line in range(10, 20)]
    found = inspected(event(0), *bad, BadRow(99, "json", "not JSON", b""))
    assert (found.bad_rows["price"].count, found.bad_rows["json"].count) == (10, 1)
    assert found.bad_rows["price"].error == "price is wrong in 10"
    assert found.bad_rows["price"].first == [("events.csv", line) for line in range(10, 15)]
    assert "11 rows are bad: they are left out" in notes_on(found)


def test_events_out_of_order_are_counted_in_the_file_and_within_users():
    in_order = inspected(event(0), event(1, "v"), event(1))
    assert (in_order.out_of_order, in_order.users_out_of_order) == (0, 0)
    user_by_user = inspected(event(0), event(5), event(1, "v"), event(2, "v"))
    assert (user_by_user.out_of_order, user_by_user.users_out_of_order) == (2, 0)
    mixed = inspected(event(5), event(3), event(4), event(1, "v"))
    assert (mixed.out_of_order, mixed.users_out_of_order) == (3, 1)


def test_files_are_read_as_one_history():
    found = inspect_rows([("a", [event(0, event_id="e")]), ("b", [event(0, event_id="e"), event(9)])], HORIZONS)
    assert (found.events, found.duplicates) == (2, 1)


def test_files_without_an_event_are_refused():
    with pytest.raises(FormatError, match="not one event"):
        inspected(BadRow(1, "json", "not JSON", b""))


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([event(0), event(1, "v")], "no purchase"),
        ([event(0), event(1, type_="purchase")], "one user only"),
        ([event(0, type_="purchase"), event(1, "v", "purchase")], "every event is a purchase"),
        ([event(1), event(0)], "out of order"),
        ([event(0, type_="wave"), event(1, type_="wave")], "type other"),
        ([event(0), event(1)], "before any horizon of session, 1h, 24h"),
    ],
)
def test_what_stands_in_the_way_of_training_is_noted(rows, note):
    assert any(note in one for one in notes_on(inspected(*rows)))


def test_of_ordinary_files_there_is_nothing_to_note():
    assert notes_on(inspected(event(0), event(1, type_="purchase"), event(2, "v"), event(3000, "v"))) == []


steps = st.tuples(st.integers(0, 300), st.sampled_from("uvw"), st.sampled_from(["view", "purchase", "wave"]))


@given(st.lists(steps, min_size=1, max_size=30))
def test_counts_are_those_of_a_slow_count(drawn):
    rows = [event(minute, user, type_) for minute, user, type_ in drawn]
    found = inspected(*rows, horizons=("1h",))
    distinct = {(row.user_id, row.event_id): row for row in rows}
    assert (found.events, found.duplicates) == (len(distinct), len(rows) - len(distinct))
    last_ms = max(row.ts for row in rows)
    known = [row for row in distinct.values() if row.ts + 60 * MINUTE_MS <= last_ms]
    bought = [any(_follows(row, other) for other in rows) for row in known]
    assert found.horizons["1h"].known == len(known)
    if known:
        assert found.horizons["1h"].base_rate == pytest.approx(sum(bought) / len(known))
    assert found.sessions == sum(_sessions([row.ts for row in rows if row.user_id == user]) for user in "uvw")


def _follows(row: Event, other: Event) -> bool:
    is_purchase = other.user_id == row.user_id and other.type == "purchase"
    return is_purchase and row.ts < other.ts <= row.ts + 60 * MINUTE_MS


def _sessions(times_ms: list[int]) -> int:
    ordered = sorted(times_ms)
    return bool(ordered) + sum(later - earlier > 30 * MINUTE_MS for earlier, later in zip(ordered, ordered[1:]))  # noqa: RUF007, B905


def test_one_value_of_many_events_is_noted():
    plain = [event(number, f"u{number}", item_id=f"i{number}") for number in range(20)]
    word = [event(number, "0", item_id="none-such") for number in range(100, 140)]
    notes = notes_on(inspected(*plain, *word))
    assert "one shopper has 40 of 60 events: a placeholder in place of many ids, or a machine?" in notes
    assert any("one item has 40 of 60 events" in note for note in notes)
    even = [event(number, f"u{number % 20}", item_id="only") for number in range(100)]
    assert not any(" has " in note for note in notes_on(inspected(*even)))


def test_a_shopper_with_far_more_events_than_any_other_is_noted():
    others = [event(number, f"u{number % 300}", item_id=f"i{number}") for number in range(1200)]
    guest = [event(number, "guest") for number in range(1200, 1260)]
    assert any("one shopper has 60 of 1,260 events" in note for note in notes_on(inspected(*others, *guest)))
    assert not any(" has " in note for note in notes_on(inspected(*others, *guest[:30])))


def test_a_type_in_other_letters_is_noted():
    found = inspected(event(0), event(1, type_="Purchase"), event(2, type_="Remove From Cart"), event(3, type_="Party"))
    assert (found.types["other"], found.respelt) == (3, {"Purchase": 1, "Remove From Cart": 1})
    assert "1 events have the type Purchase, which is none and read as other: write purchase" in notes_on(found)


def test_times_far_from_all_others_are_noted():
    near = [event(number) for number in range(300)]
    assert inspected(*near).far == 0
    found = inspected(*near, event(60 * 24 * 365 * 50))
    assert "1 events are far from all others in time: clocks or units that are wrong?" in notes_on(found)


def test_ids_that_a_spreadsheet_rounded_are_noted():
    notes = notes_on(inspected(event(0, category="2103807459595380000"), event(1, category="2053013555631880000")))
    assert any("2 ids of category end in zeros after 15 digits" in note for note in notes)
    exact = inspected(event(0, category="2103807459595387724"), event(1, category="1000"))
    assert not any("zeros" in note for note in notes_on(exact))


def test_orders_in_more_than_one_purchase_are_noted():
    order = {"context": {"order_id": "T1"}}
    found = inspected(
        event(0, type_="purchase", event_id="purchase:T1", **order),
        event(1, type_="purchase", event_id="purchase:T1", **order),
        event(2, type_="refund", context={"order_id": "T2"}),
        event(3, type_="purchase", context={"order_id": "T2"}),
    )
    assert (found.types["purchase"], found.duplicates) == (2, 1)
    assert "1 order ids in more than one purchase: of one shopper they count as one" in notes_on(found)


def test_orders_that_were_undone_are_noted():
    undone = {"context": {"order_id": "T1", "order_status": "cancelled"}}
    found = inspected(event(0, type_="other", **undone), event(1, type_="other", **undone))
    assert (found.orders_undone, found.types["purchase"]) == (1, 0)
    assert any(note.startswith("1 orders were cancelled") for note in notes_on(found))


def test_impressions_are_counted_apart():
    shown = [event(30, type_="impression", event_id=name, items=["a"], user=user) for name, user in
             (("s1", "u"), ("s1", "u"), ("s1", "onlooker"))]  # fmt: skip
    events = [event(0), event(50, type_="purchase")]
    found, alone = inspected(events[0], *shown, events[1]), inspected(*events)
    assert (found.impressions, found.duplicates) == (2, 1)
    assert replace(found, impressions=0, duplicates=0) == alone


def test_pairs_of_ids_are_counted_and_an_id_of_very_many_users_is_noted():
    events = [
        Event(event_id=f"e{n}", user_id=f"u{n % 30}", type="view", ts=START_MS + n, anonymous_id="kiosk")
        for n in range(60)
    ]
    found = inspected(*events, Event(event_id="x", user_id="u", type="view", ts=START_MS, anonymous_id="u"))
    assert (found.identities, found.most_users_of_one, found.filled["anonymous_id"]) == (30, 30, 61)
    assert any("30 users name one anonymous id" in note for note in notes_on(found))
