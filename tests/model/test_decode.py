import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import model.decode
from model.batch import batch_of
from model.decode import decode_events
from model.validate import InvalidEvent, validate_event
from tests.harness.records import event_fields
from tests.model.wire_values import MARK, objects, values

MINIMAL = event_fields()
COLUMNS = ("type_codes", "event_time_ms", "prices", "event_hashes", "item_codes", "category_codes", "positions")


def written(**fields: object) -> bytes:
    return json.dumps(MINIMAL | fields).encode()


def one_by_one(records, keys=None):
    """What `decode_events` promises, spelled out: each record validated by itself."""
    events, positions, reasons = [], [], {}
    for position, value in enumerate(records):
        try:
            event = validate_event(value)
        except InvalidEvent as invalid:
            reasons[position] = invalid.reason
            continue
        if keys is not None and keys[position] != event.user_id.encode():
            reasons[position] = "key"
            continue
        events.append(event)
        positions.append(position)
    return batch_of(events, np.array(positions, np.int64)), reasons


def assert_same_batch(batch, expected):
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(batch, column), getattr(expected, column), err_msg=column)
    assert batch.user_ids == expected.user_ids
    assert batch.event_ids == expected.event_ids
    assert batch.item_ids == expected.item_ids
    assert batch.categories == expected.categories
    assert batch.channels == expected.channels


@given(values)
def test_one_record_is_accepted_exactly_if_it_is_an_event(value):
    batch, rejects = decode_events([value])
    expected, reasons = one_by_one([value])
    assert_same_batch(batch, expected)
    assert {reject.position: reject.reason for reject in rejects} == reasons


@given(st.lists(values, max_size=12))
def test_a_record_is_validated_alike_alone_and_among_others(records):
    batch, rejects = decode_events(records)
    expected, reasons = one_by_one(records)
    assert_same_batch(batch, expected)
    assert {reject.position: reject.reason for reject in rejects} == reasons
    assert sorted([*batch.positions.tolist(), *reasons]) == list(range(len(records)))


ONE, OTHER = written(event_id="one"), written(event_id="other")
HEAD, TAIL = b'{"event_id":"three","user_id":"u",', b'"type":"view","ts":1511539217000}'


@pytest.mark.parametrize(
    "records",
    [
        [HEAD, TAIL],
        [ONE + OTHER, HEAD, TAIL],
        [ONE + b" " + OTHER, HEAD, TAIL],
        [ONE + b"\n" + OTHER],
        [ONE + b"\n", b"", OTHER],
        [ONE, b"", OTHER + OTHER],
        [ONE, OTHER + b"\n" + HEAD, TAIL],
        [b"[" + ONE + b",", OTHER + b"]"],
        [ONE, b'{"text":"', b'"}', OTHER],
        [b'{"text":"}', b"{" + HEAD[1:] + TAIL],
        [json.dumps(MINIMAL, indent=1).encode(), ONE],
        [b" " + ONE, OTHER + b" "],
    ],
)
def test_no_record_hides_in_its_neighbours(records):
    batch, rejects = decode_events(records)
    expected, reasons = one_by_one(records)
    assert_same_batch(batch, expected)
    assert {reject.position: reject.reason for reject in rejects} == reasons


@given(st.lists(st.tuples(objects().map(lambda text: text.encode(errors="surrogatepass")), st.booleans()), max_size=8))
def test_a_record_whose_key_is_not_its_user_is_rejected(records):
    encoded = [value for value, _ in records]
    accepted, _ = one_by_one(encoded)
    users = dict(zip(accepted.positions.tolist(), accepted.user_ids, strict=True))
    keys = [users.get(i, "?").encode() if right else b"someone else" for i, (_, right) in enumerate(records)]
    batch, rejects = decode_events(encoded, keys)
    expected, reasons = one_by_one(encoded, keys)
    assert_same_batch(batch, expected)
    assert {reject.position: reject.reason for reject in rejects} == reasons


@given(st.lists(values, min_size=1, max_size=4))
def test_an_error_text_never_holds_the_value(records):
    for reject in decode_events(records)[1]:
        assert MARK not in reject.error
        assert "\n" not in reject.error
        assert reject.reason in {
            *MINIMAL, *("item_id", "category", "price", "quantity", "rating", "text"),
            *("json", "object", "encoding", "nesting", "tombstone", "empty"),
        }  # fmt: skip


def test_ordinary_events_are_never_looked_at_one_by_one(monkeypatch):
    def refuse(_):
        raise AssertionError("looked at by itself")

    monkeypatch.setattr(model.decode, "validate_event", refuse)
    records = [
        written(user_id=f"u{number}", item_id="i", category="c", price=9.99, quantity=2, text="très bon", x={"y": [1]})
        for number in range(200)
    ]
    batch, rejects = decode_events(records, [f"u{number}".encode() for number in range(200)])
    assert len(batch) == 200
    assert rejects == []


BAD = {
    "tombstone": None,
    "empty": b"",
    "json": b"not json",
    "object": b"[1, 2]",
    "encoding": written(item_id="x").replace(b'"x"', b'"\xff"'),
    "nesting": b'{"context":' + b"[" * 1000 + b"]" * 1000 + b"}",
}


@pytest.mark.parametrize("reason", BAD)
def test_damage_has_a_reason_of_its_own(reason):
    batch, (reject,) = decode_events([BAD[reason]])
    assert len(batch) == 0
    assert (reject.position, reject.reason) == (0, reason)


@pytest.mark.parametrize("field", MINIMAL)
@pytest.mark.parametrize("given_value", ["missing", None, ""])
def test_a_required_field_that_is_missing_or_empty_is_the_reason(field, given_value):
    fields = MINIMAL | {field: given_value}
    if given_value == "missing":
        del fields[field]
    _, (reject,) = decode_events([json.dumps(fields).encode()])
    assert reject.reason == field


@pytest.mark.parametrize(
    ("field", "literal"),
    [
        ("ts", "NaN"), ("ts", "-1"), ("ts", "32503680000000"), ("ts", '"3000-01-01T00:00:00Z"'), ("ts", "1e400"),
        ("ts", "true"), ("ts", "1511539217000.5"), ("ts", '"2017-11-24T16:00:17"'), ("ts", "9" * 19), ("ts", "9" * 30),
        ("price", '"9.99"'), ("price", "-0.01"), ("price", "NaN"), ("price", "Infinity"), ("price", "1e999"),
        ("price", "true"), ("quantity", '"2"'), ("rating", "[]"), ("text", "{}"), ("type", "5"), ("type", "true"),
        ("user_id", "true"), ("user_id", "[]"), ("event_id", "{}"), ("item_id", "false"), ("category", "[1]"),
        ("user_id", json.dumps("u" * 10_000)), ("event_id", json.dumps("ü" * 513)), ("item_id", json.dumps("i" * 1025)),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_kind_is_the_reason(field, literal):
    value = json.dumps(MINIMAL | {field: "?"}).replace('"?"', literal).encode()
    _, (reject,) = decode_events([value])
    assert reject.reason == field
    assert reject.error.startswith(field)


@pytest.mark.parametrize(
    ("name", "literal"), [(b"user_id", b'"?"'), (b"text", b'"?"'), (b"x", b'"?"'), (b"x", b'[{"y":"?"}]'), (b"?", b"1")]
)
@pytest.mark.parametrize("damage", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98"])
def test_invalid_utf8_is_refused_wherever_it_is(name, literal, damage):
    value = written()[:-1] + b',"%b":%b}' % (name, literal)
    _, (reject,) = decode_events([value.replace(b"?", damage)])
    assert reject.reason == "encoding"


@pytest.mark.parametrize("literal", ["NaN", "-Infinity", "[NaN]", '{"y":[1,Infinity]}'])
def test_a_constant_that_json_does_not_know_is_refused_also_in_a_field_that_nobody_reads(literal):
    _, (reject,) = decode_events([written(x="?").replace(b'"?"', literal.encode())])
    assert reject.reason == "json"


def test_the_depth_of_a_megabyte_of_escaped_quotes_is_measured_in_one_pass():
    """An attempt for each quote would take hours: the suite's time limit is the assertion."""
    _, (reject,) = decode_events([b"[" * 65 + b'"\\' * 500_000])
    assert reject.reason == "nesting"


@pytest.mark.parametrize("identifier", ["u" * 1024, "ü" * 512, "😀" * 256])
def test_an_id_of_1024_bytes_is_accepted_whatever_its_letters(identifier):
    batch, _ = decode_events([written(user_id=identifier, event_id=identifier, item_id=identifier)])
    assert batch.user_ids == batch.event_ids == batch.item_ids == [identifier]
    _, (reject,) = decode_events([written(user_id=identifier + "u")])
    assert reject.reason == "user_id"


@pytest.mark.parametrize("literal", ["42", "-0", "1e3", "1.50", "123456789012345678901234567890"])
def test_a_number_as_an_id_is_accepted_as_it_is_written(literal):
    value = written(user_id="?", event_id="?", item_id="?", category="?").replace(b'"?"', literal.encode())
    batch, _ = decode_events([value], [literal.encode()])
    assert batch.user_ids == batch.event_ids == batch.item_ids == batch.categories == [literal]


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("2017-11-24T16:00:17Z", 1511539217000),
        ("2017-11-24T18:00:17+02:00", 1511539217000),
        ("2017-11-24T16:00:17.250Z", 1511539217250),
        ("2017-11-24T16:00:17.2509Z", 1511539217250),
    ],
)
def test_a_time_as_text_is_its_epoch_milliseconds(text, epoch_ms):
    batch, _ = decode_events([written(ts=text)])
    assert batch.event_time_ms.tolist() == [epoch_ms]


@pytest.mark.parametrize("ts", [946684800000, 4102444799999])
def test_times_from_2000_until_2100_are_accepted(ts):
    batch, _ = decode_events([written(ts=ts)])
    assert batch.event_time_ms.tolist() == [ts]
    assert decode_events([written(ts=946684799999), written(ts=4102444800000)])[0].user_ids == []


def test_nesting_up_to_64_levels_is_accepted_also_beside_strings_full_of_brackets():
    deepest = '{"x":' + "[" * 63 + "]" * 63 + "}"
    for context in (deepest[5:-1], json.dumps('[{"\\' * 500)):
        value = written(context="?").replace(b'"?"', context.encode())
        assert len(decode_events([value])[0]) == 1
    _, (reject,) = decode_events([written(context="?").replace(b'"?"', b"[" * 64 + b"]" * 64)])
    assert reject.reason == "nesting"


def test_of_a_field_that_is_given_twice_the_last_counts():
    batch, _ = decode_events([written(price=1)[:-1] + b',"price":2,"user_id":"v"}'])
    assert (batch.prices.tolist(), batch.user_ids) == ([2.0], ["v"])


def test_an_unknown_type_counts_as_other_and_no_price_is_not_a_number():
    batch, _ = decode_events([written(type="wave"), written(type="other", price=0)])
    assert batch.type_codes.tolist() == [9, 9]
    assert np.isnan(batch.prices[0])
    assert batch.prices[1] == 0.0


def test_nothing_decodes_to_nothing():
    batch, rejects = decode_events([], [])
    assert (len(batch), rejects) == (0, [])
