"""The pages of the OpenAPI and the AsyncAPI document say all that the documents say."""

from cartcast.reference.asyncapi import asyncapi_document
from cartcast.reference.contract_pages import SCHEMAS, http_page, messages_page
from cartcast.reference.schema_tables import table, type_of
from streams.lookups.openapi import openapi_document


def test_every_request_answer_and_schema_is_on_the_page():
    page, document = http_page(), openapi_document()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            (section,) = [part for part in page.split("\n## ") if part.startswith(f"{method.upper()} `{path}`\n")]
            assert operation["summary"] in section
            assert all(f"\n| {code} | " in section for code in operation["responses"])
            assert all(f"\n| `{each['name']}` | {each['in']} | " in section for each in operation["parameters"])
            assert ("\nBody: " in section) == ("requestBody" in operation)
    for name, schema in document["components"]["schemas"].items():
        (section,) = [part for part in page.split("\n### ") if part.startswith(f"{name}\n")]
        assert all(f"| `{field}` | " in section for field in schema["properties"])


def test_every_topic_and_field_of_its_records_is_on_the_page():
    page, document = messages_page(), asyncapi_document()
    for channel in document["channels"].values():
        (section,) = [part for part in page.split("\n## ") if part.startswith(f"`{channel['address']}`\n")]
        for name in channel["messages"]:
            message = document["components"]["messages"][name]
            for part in (message.get("headers", {}), message["payload"]):
                file = part.get("schema", {}).get("$ref", "").removeprefix("./")
                fields = SCHEMAS[file]()["properties"] if file else {}
                assert all(f"| `{field}` | " in section for field in fields)
    assert all(f"- {each['summary']}\n" in page for each in document["operations"].values())


def test_a_schema_is_told_in_words():
    inner = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["n"]}
    schema = {
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": "array", "items": inner, "description": "Many | of <them>"},
            "b": {"anyOf": [{"$ref": "#/components/schemas/Item"}, {"type": "null"}]},
            "c": {"enum": ["x", "y"]},
            "d": {"type": "object", "additionalProperties": {"type": "number"}},
        },
    }
    assert table(schema).splitlines()[2:] == [
        "| `a` | array of object | Many \\| of &lt;them> |",
        "| `a[].n` | integer | at least 1, at most 9 |",
        "| `b` | [Item](#item) or null | optional |",
        "| `c` | `x`, `y` | optional |",
        "| `d` | object of number | optional |",
    ]
    assert type_of({}) == "any value"
