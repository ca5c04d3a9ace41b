"""What was released stays: a change that breaks whoever reads scores, dead letters or views, or sends events, fails.

The files in docs/contracts/released are never regenerated. A change that must break them is a new version of the
contract, with a file of its own (docs/contracts/README.md says how).
"""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from cartcast.reference import data_dictionary
from cartcast.reference.event_schema import event_schema
from cartcast.reference.header_schemas import dead_letter_headers_schema, score_headers_schema
from cartcast.reference.score_schema import score_schema
from model.core.byte_strings import ByteStrings
from model.core.decode import decode_events
from streams.fetch import Fetch
from streams.messages import dead_letter_records, score_records
from tests.contract.compatibility import broken_promises, missing_columns

RELEASED = Path(__file__).parents[2] / "docs" / "contracts" / "released"


def released(name: str):
    return json.loads((RELEASED / name).read_bytes())


SCORE = released("score-v1.schema.json")
EVENT = released("event-v1.schema.json")
SCORES = released("score-v1.samples.json")
LETTERS = released("dead-letter-v1.samples.json")
PRESENT = {
    "score-v1": score_schema,
    "score-headers-v1": score_headers_schema,
    "dead-letter-headers-v1": dead_letter_headers_schema,
}


def fetch_of(record) -> Fetch:
    """Return a fetch of one record, its value JSON or the text that was received."""
    key, value = record["key"], record["value"]
    as_text = value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Fetch(
        record["topic"], record["partition"], ByteStrings.of([None if key is None else key.encode()]),
        ByteStrings.of([None if as_text is None else as_text.encode()]),
        np.array([record["offset"]]), np.array([record.get("timestamp", 0)]),
    )  # fmt: skip


@pytest.mark.parametrize("name", PRESENT)
def test_the_present_schema_keeps_what_was_released(name):
    assert list(broken_promises(released(f"{name}.schema.json"), PRESENT[name]())) == []


def refused_now(present) -> list[str]:
    """Return what producers may no longer send: the schemas change places, for here the worker is the reader."""
    known = EVENT["properties"]
    of_known = {name: schema for name, schema in present["properties"].items() if name in known}
    return list(broken_promises({**present, "properties": of_known}, EVENT))


def test_events_that_could_be_sent_still_can():
    assert refused_now(event_schema()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"required": [*released("event-v1.schema.json")["required"], "price"]}, "price may be missing"),
        ({"properties": {"price": {"type": "number"}}}, "price: may be null"),
        (
            {"properties": {"text": {"type": ["string", "number", "null"], "maxLength": 10}}},
            "text: `maxLength` is gone",
        ),
    ],
)
def test_a_change_that_refuses_what_could_be_sent_is_told(change, said):
    (sentence,) = refused_now({**EVENT, **change})
    assert said in sentence


def test_tables_and_views_have_the_columns_that_were_released():
    assert list(missing_columns(released("tables-v1.json"), data_dictionary.tables())) == []


@pytest.mark.parametrize("sample", SCORES, ids=[sample["score"]["value"]["event_id"] for sample in SCORES])
def test_an_event_still_gets_the_score_that_was_released(sample):
    score, fetch = sample["score"], fetch_of(sample["event"])
    batch, _ = decode_events(fetch.values, fetch.keys)
    (record,) = score_records(
        fetch,
        batch,
        np.arange(1),
        np.array([sample["propensities"]], np.float32),
        model=score["value"]["model"],
        scored_at_ms=score["value"]["scored_at"],
    )
    present = json.loads(record.value)
    assert {name: present.get(name, "gone") for name in score["value"]} == score["value"]
    assert {name: type(present[name]) for name in score["value"]} == {
        name: type(value) for name, value in score["value"].items()
    }
    headers = {name: value.decode() for name, value in record.headers}
    assert {name: headers.get(name, "gone") for name in score["headers"]} == score["headers"]
    assert record.key.decode() == score["key"]


@pytest.mark.parametrize(
    "letter", LETTERS, ids=[f"{letter['headers']['reason']}-{letter['offset']}" for letter in LETTERS]
)
def test_a_bad_record_still_gets_the_reason_that_was_released(letter):
    fetch = fetch_of(letter)
    _, rejects = decode_events(fetch.values, fetch.keys)
    (record,) = dead_letter_records(fetch, rejects)
    headers = {name: value.decode() for name, value in record.headers}
    assert headers.keys() >= letter["headers"].keys()
    assert headers | {"error": ""} == {**headers, **letter["headers"], "error": ""}
    assert (record.key, record.value) == (fetch.keys[0], fetch.values[0])


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("score-v1", [sample["score"]["value"] for sample in SCORES]),
        ("score-headers-v1", [sample["score"]["headers"] for sample in SCORES]),
        ("dead-letter-headers-v1", [letter["headers"] for letter in LETTERS]),
    ],
)
def test_released_samples_are_valid(name, samples):
    for sample in samples:
        Draft202012Validator(released(f"{name}.schema.json")).validate(sample)


def changed(path: tuple[str, ...], value):
    """Return the released schema of scores with one thing changed, or taken away if the value is `...`."""
    schema = copy.deepcopy(SCORE)
    *steps, last = path
    node = schema
    for step in steps:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return schema


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("properties", "channel"), ..., "channel is gone"),
        (("properties", "next_type"), ..., "next_type is gone"),
        (("properties", "price", "type"), "string", "price: may be string"),
        (("properties", "price", "type"), ["number", "null", "string"], "price: may be string"),
        (("properties", "event_time", "type"), "number", "event_time: may be number"),
        (("properties", "model", "type"), ["string", "null"], "model: may be null"),
        (("properties", "model", "type"), ..., "model: `type` is gone"),
        (("properties", "event_type", "enum"), [*SCORE["properties"]["event_type"]["enum"], "wave"], "may be 'wave'"),
        (("properties", "event_type", "enum"), ..., "`enum` is gone"),
        (("properties", "propensity_1h", "maximum"), 100, "`maximum` is 100"),
        (("properties", "source_offset", "minimum"), -1, "`minimum` is -1"),
        (("properties", "user_id", "minLength"), ..., "`minLength` is gone"),
        (("properties", "next_purchase_categories", "items", "type"), "integer", "[]: may be integer"),
        (("properties", "next_purchase_categories", "maxItems"), 5, "`maxItems` is 5"),
        (("patternProperties", "^propensity_", "type"), "string", "may be string"),
        (("patternProperties",), ..., "`patternProperties` is gone"),
        (("required",), [name for name in SCORE["required"] if name != "price"], "price may be missing"),
        (("dependentRequired", "next_type"), [], "next_type_propensity may be missing"),
        (("not",), {}, "`not` is {}"),
        (("type",), "array", "may be array"),
    ],
)
def test_a_change_that_breaks_readers_is_told(path, value, said):
    (sentence,) = broken_promises(SCORE, changed(path, value))
    assert said in sentence


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("properties", "basket_size"), {"type": "integer"}),
        (("required",), [*SCORE["required"], "next_type"]),
        (("properties", "price", "type"), ["null", "number"]),
        (("properties", "price", "type"), "integer"),
        (("properties", "channel", "type"), "string"),
        (("properties", "propensity_1h", "maximum"), 0.9),
        (("properties", "channel", "maxLength"), 10),
        (("properties", "channel", "description"), "other words"),
        (("properties", "event_type", "enum"), ["view", "other"]),
    ],
)
def test_a_change_that_readers_can_live_with_is_allowed(path, value):
    assert list(broken_promises(SCORE, changed(path, value))) == []


def test_another_form_of_a_header_is_told():
    headers = released("score-headers-v1.schema.json")
    other = copy.deepcopy(headers)
    other["properties"]["offset"]["pattern"] = "^0x[0-9a-f]+$"
    (sentence,) = broken_promises(headers, other)
    assert "offset: `pattern`" in sentence


@pytest.mark.parametrize(
    ("present", "said"),
    [
        ({}, "lag is gone"),
        ({"lag": {"columns": {"topic": {"type": "String"}}}}, "lag: column behind was UInt64, and is gone"),
        ({"lag": {"columns": {"topic": {"type": "String"}, "behind": {"type": "Int8"}}}}, "was UInt64, and is Int8"),
    ],
)
def test_a_column_that_is_gone_or_other_is_told(present, said):
    (sentence,) = missing_columns({"lag": {"topic": "String", "behind": "UInt64"}}, present)
    assert said in sentence


def test_a_further_view_or_column_is_allowed():
    columns = {"topic": {"type": "String"}, "more": {"type": "String"}}
    assert list(missing_columns({"lag": {"topic": "String"}}, {"lag": {"columns": columns}, "new": {}})) == []
