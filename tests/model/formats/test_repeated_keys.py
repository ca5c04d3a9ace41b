"""A key that stands twice in one object is found, and nothing else is."""

import pytest

from model.formats import Reading, read_events
from model.formats.repeated_keys import repeated_key


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b'{"price":1,"price":2}', "price"),
        (b'{"a":{"b":1, "b" : 2}}', "b"),
        (b'[{"a":1,"a":2}]', None),
        (b'{"a":{"b":1},"b":[{"b":1},{"b":2}]}', None),
        (b'{ "a" : "x\\":", "b" : "\\"b\\":\\"b\\":" }', None),
        (b'{"a":"\\u0022:","b":1e400}', None),
        (b'{"a":1,"a":', None),
        (b"a,b,a", None),
    ],
)
def test_a_key_that_stands_twice_in_one_object_is_named(line, key):
    assert repeated_key(line) == key


def test_lines_with_such_a_key_are_counted_if_asked(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event_id":"e1","user_id":"u","type":"view","ts":1767571200000,"price":1,"price":2}\n' * 2)
    reading = Reading(looks_at_keys=True)
    assert [event.price for event in read_events(path, "cartcast", reading=reading)] == [2.0, 2.0]
    assert reading.repeated_keys == {"price": 2}
