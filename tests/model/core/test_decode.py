import json
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import model.core.decode
from model.batch import EventBatch, batch_of
from model.core.byte_strings import ByteStrings
from model.core.decode import decode_each, decode_events
from model.core.encode import ScoreTemplate, encode_scores
from model.events import IMPRESSION_CODE, Score
from model.horizons import HORIZONS
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
            *MINIMAL, *("item_id", "category", "price", "quantity", "rating", "text", "anonymous_id"),
            *("json", "object", "encoding", "nesting", "tombstone", "empty"),
        }  # fmt: skip


def test_ordinary_events_are_never_looked_at_one_by_one(monkeypatch):
    def refuse(_):
        raise AssertionError("looked at by itself")

    monkeypatch.setattr(model.core.decode, "validate_event", refuse)
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


def test_null_after_a_value_takes_the_value_back():
    batch, _ = decode_events([written(price=1, item_id="i")[:-1] + b',"price":null,"item_id":null}'])
    assert np.isnan(batch.prices).tolist() == [True]
    assert batch.item_ids == [None]


def test_an_unknown_type_counts_as_other_and_no_price_is_not_a_number():
    batch, _ = decode_events([written(type="wave"), written(type="other", price=0)])
    assert batch.type_codes.tolist() == [9, 9]
    assert np.isnan(batch.prices[0])
    assert batch.prices[1] == 0.0


def test_nothing_decodes_to_nothing():
    batch, rejects = decode_events([], [])
    assert (len(batch), rejects) == (0, [])


def random_text(chance):
    """A text or number as JSON, of lengths at the borders of the hash and of the limits, or in another spelling."""
    letter = chance.choice(["a", "é", "漢", "😀", "\x7f"])
    length = chance.choice([0, 1, 3, 4, 8, 9, 16, 17, 64, 127, 128, 129, 130, 199, 200, 201, 241, 1023, 1024, 1025])
    text = letter * (length // chance.choice([1, len(letter.encode())]))
    return json.dumps(text, ensure_ascii=chance.random() < 0.2)


def random_time(chance):
    """An RFC 3339 time, or nearly."""
    year, month, day = (
        chance.choice([1, 1999, 2000, 2020, 2099, 2100, 9999]),
        chance.randint(0, 13),
        chance.randint(28, 32),
    )
    clock = chance.choice(["00:00:00", "23:59:59", "23:59:60", "24:00:00", "7:00:00"])
    fraction = chance.choice(["", ".", ",5", *("." + "1987654321"[:digits] for digits in range(1, 11))])
    zone = chance.choice(["Z", "Z", "z", "", "+02:00", "-23:59", "+24:00", "+0200", "-00:00", "+02:00:30", "+02:0"])
    return f'"{year:04}-{month:02}-{day:02}{chance.choice("TTTt ")}{clock}{fraction}{zone}"'


def random_number(chance):
    number = chance.choice([chance.uniform(0, 1e4), chance.randint(0, 10**17), 10.0 ** chance.randint(-320, 308)])
    return chance.choice(
        [
            *(f"{number}", f"{number:.5f}", f"{number:e}", f"-{number}", f"0{number}"),
            *("-0", "-0.0", "1.", "1e400", "1E+3", "NaN", "999999999999999", "1000000000000000", "0.00000000000001"),
            *("946684799999", "946684800000", "4102444799999", "4102444800000", "1511539217000.0"),
        ]
    )


LITERALS = (
    *("null", "true", "{}", "[]", '""', '" "', '"\\u0041"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\n\\"\\\\"', '"\t"'),
    *('{"channel":"a"}', '{"channel":""}', '{"channel":5}', '{"channel":"a","channel":"b"}', '{"a":{"b":"c"}}'),
    *('{ "channel" : "a" , "x" : null }', '{"channel":"\\ud800"}', '{"x":01}', '{"x":"a",}', "nul", "'a'"),
)
DAMAGE = (
    *(b"\n", b"\t", b" ", b'"', b"\\", b"{", b"}", b"}\n{", b",", b":", b"-", b"0", b"e5", b".", b"\x00"),
    *(b"\xff", b"\xc3", b"\xa9", b"\xe6\xbc", b"\xa2", b"\xed\xa0\x80", b"\\ud83d", b"\xef\xbb\xbf"),
)


def random_record(chance):
    """An event in one of many spellings, in which one or two things are changed."""
    fields = {"event_id": '"e"', "user_id": '"u"', "type": '"view"', "ts": "1511539217000"}
    for name in ("item_id", "category", "price", "quantity", "rating", "text", "context", "other"):
        if chance.random() < 0.4:
            fields[name] = '{"channel":"mail"}' if name == "context" else "1.50" if name[-1] in "egy" else '"red shoe"'
    written_fields = list(fields.items())
    for _ in range(chance.choice([1, 1, 2])):
        place = chance.randrange(len(written_fields))
        literal = chance.choice([random_text, random_time, random_number, lambda chance: chance.choice(LITERALS)])(
            chance
        )
        if written_fields[place][0] == "context" and chance.random() < 0.5:
            literal = f'{{"channel":{literal}}}'
        change = (written_fields[place][0], literal)
        if chance.random() < 0.15:
            written_fields.append(change)
        else:
            written_fields[place] = change
    space = chance.choice(["", "", " ", "\t"])
    value = ("{" + ",".join(f'"{name}":{space}{literal}' for name, literal in written_fields) + space + "}").encode()
    if chance.random() < 0.4:
        at = chance.randint(0, len(value))
        value = value[:at] + chance.choice([*DAMAGE, b""]) + value[at + chance.choice([0, 0, 1, 2]) :]
    return None if chance.random() < 0.01 else value


@pytest.mark.parametrize("seed", range(4))
def test_mutated_records_become_the_same_columns_and_scores_scanned_and_one_by_one(seed):
    chance = random.Random(seed)
    for _ in range(60):
        records = [random_record(chance) for _ in range(chance.choice([1, 2, 10, 60]))]
        keys = [chance.choice([b"u"] * 20 + [None, b"", b"x"]) for _ in records] if chance.random() < 0.5 else None
        batch, rejects = decode_events(records, keys)
        expected, expected_rejects = decode_each(records, keys, validate_event)
        assert_same_batch(batch, expected)
        np.testing.assert_array_equal(batch.token_codes, expected.token_codes)
        assert rejects == expected_rejects
        for one, other in zip(scores_of(batch), scores_of(expected), strict=True):
            assert msgspec.json.decode(one, type=Score) == msgspec.json.decode(other, type=Score)


def scores_of(batch):
    scores = len(batch)
    template = ScoreTemplate.of(HORIZONS, model="m", source_topic="t", source_partition=0)
    propensities = np.full((scores, len(HORIZONS)), 0.5, np.float32)
    times, extra = batch.event_time_ms, ByteStrings.none(scores)
    return encode_scores(template, batch.texts, batch.type_codes, times, propensities, extra, times, times, 0)


@pytest.mark.parametrize("literal", ["-0", "-0.0", "0", "0.0", "-0e5"])
@pytest.mark.parametrize("also", ["", ',"rating":-7777777777777777777', ',"x":[]'])
def test_a_price_of_nothing_has_no_sign_however_it_is_written_and_decoded(literal, also):
    value = written()[:-1] + f',"price":{literal}{also}}}'.encode()
    for batch in (decode_events([value])[0], decode_each([value], None, validate_event)[0]):
        assert not np.signbit(batch.prices).any()
        assert b'"price":0.0,' in scores_of(batch)[0]


def test_a_text_that_an_event_does_not_have_takes_no_bytes_of_a_score():
    values = [written(item_id=None if number % 2 else "i", category="c" * 100) for number in range(50)]
    for batch in (decode_events(values)[0], decode_each(values, None, validate_event)[0]):
        lengths = batch.texts.spans[:, :, 1] - batch.texts.spans[:, :, 0]
        assert lengths[batch.texts.spans[:, :, 0] < 0].tolist() == [0] * int((batch.texts.spans[:, :, 0] < 0).sum())


def shown(**fields: object) -> bytes:
    return written(type="impression", **fields)


def test_an_impression_says_what_was_shown_as_its_score_will():
    value = shown(items=["a", "ü\n", 3], model_version="m1", placement="home", category="hats")
    batch, rejects = decode_events([written(), value, shown(items=["b"])])
    assert rejects == []
    assert batch.type_codes.tolist() == [0, IMPRESSION_CODE, IMPRESSION_CODE]
    assert [None if body is None else json.loads(b"{" + body[1:] + b"}") for body in batch.shown] == [
        None,
        {"shown": ["a", "ü\n", "3"], "shown_by": "m1", "placement": "home"},
        {"shown": ["b"]},
    ]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "items is missing, which an impression needs: the ids of the items shown, in order"),
        ({"items": None}, "items is missing, which an impression needs: the ids of the items shown, in order"),
        ({"items": "a"}, "items is a string, not an array"),
        ({"items": []}, "items is empty: an impression is of one item at least"),
        ({"items": ["a", None]}, "items[1] is null, not a string"),
        ({"items": [{"id": "a"}]}, "items[0] is an object, not a string"),
        ({"items": ["a", ""]}, "items[1] is empty"),
        ({"items": ["x" * 1025]}, "items[0] has 1025 bytes, more than 1024"),
        ({"items": ["a"] * 501}, "items has 501 ids, more than 500"),
        ({"items": ["x" * 1000] * 70}, "items has 70211 bytes as JSON, more than 65536"),
    ],
)
def test_an_impression_without_a_list_of_items_is_rejected_with_what_is_wrong(fields, error):
    batch, (reject,) = decode_events([written(), shown(**fields), written()])
    assert batch.positions.tolist() == [0, 2]
    assert (reject.position, reject.reason, reject.error) == (1, "items", error)


@pytest.mark.parametrize("items", [[{"id": "a"}], "a", 1, None, ["a"] * 501])
def test_of_other_events_items_are_not_read(items):
    batch, rejects = decode_events([written(items=items, type="cart")])
    assert (len(batch), batch.shown, rejects) == (1, None, [])


def test_an_impression_whose_type_is_written_with_escapes_is_one():
    value = shown(items=["a"]).replace(b"impression", rb"\u0069mpression")
    batch, _ = decode_events([written(context={"a": {"b": 1}}), value])
    assert batch.type_codes.tolist() == [0, IMPRESSION_CODE]


def test_batches_with_and_without_impressions_can_be_joined():
    with_one, without = decode_events([shown(items=["a"])])[0], decode_events([written()])[0]
    joined = EventBatch.concatenated([without, with_one, without])
    assert list(joined.shown) == [None, b',"shown":["a"]', None]
    assert EventBatch.concatenated([without, without]).shown is None
