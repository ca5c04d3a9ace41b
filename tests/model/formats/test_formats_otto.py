import json

import pytest

from model.events import Event
from model.formats.otto import FORMAT
from model.validate import BadRow

CLICK = {"aid": 1517085, "ts": 1659304800025, "type": "clicks"}


def rows_of(*sessions: object):
    return list(FORMAT.read_rows(iter(enumerate((json.dumps(one).encode() for one in sessions), start=1))))


def test_each_event_of_a_session_is_an_event_of_its_user():
    events = rows_of({"session": 0, "events": [CLICK, CLICK | {"type": "carts"}, CLICK | {"type": "orders"}]})
    assert [event.type for event in events] == ["view", "cart", "purchase"]
    assert events[0] == Event(
        event_id=events[0].event_id, user_id="0", type="view", ts=1659304800025, item_id="1517085"
    )
    assert len({event.event_id for event in events}) == 3


def test_the_same_event_has_the_same_id_in_its_session_only():
    once, twice, elsewhere = rows_of({"session": 1, "events": [CLICK, CLICK]}, {"session": 2, "events": [CLICK]})
    assert once == twice
    assert once.event_id != elsewhere.event_id


def test_bad_events_of_a_session_are_reported_once_a_reason_and_the_others_are_read():
    good = {"session": 1, "events": [CLICK]}
    mixed = {"session": 2, "events": [{}, CLICK, CLICK | {"type": "views"}, CLICK | {"ts": 1}, CLICK | {"aid": None}]}
    rows = rows_of(good, mixed)
    assert [isinstance(row, Event) for row in rows] == [True, False, True, False, False]
    assert [(row.line, row.reason) for row in rows if isinstance(row, BadRow)] == [(2, "type"), (2, "ts"), (2, "aid")]


@pytest.mark.parametrize(
    ("session", "reason"),
    [
        ({"events": [CLICK]}, "session"),
        ({"session": 1}, "events"),
        ({"session": 1, "events": []}, "events"),
        ({"session": 1, "events": [1]}, "events"),
        ([1], "object"),
    ],
)
def test_a_line_that_is_no_session_is_one_bad_row(session, reason):
    (bad,) = rows_of(session)
    assert (bad.line, bad.reason) == (1, reason)
