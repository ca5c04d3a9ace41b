"""The AsyncAPI and OpenAPI documents are what these standards ask for, and say what the code does."""

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

import cartcast
from service.kafka_settings import KafkaSettings, Topics
from streams.topic_configs import partitions_of, topic_configs

CONTRACTS = Path(__file__).parents[2] / "docs" / "contracts"
STANDARDS = Path(__file__).parent / "standards"


def loaded(path: Path):
    return json.loads(path.read_bytes())


ASYNCAPI = loaded(CONTRACTS / "asyncapi.json")
OPENAPI = loaded(CONTRACTS / "openapi.json")
VALIDATORS = {
    "asyncapi": Draft7Validator(loaded(STANDARDS / "asyncapi-3.0.0.schema.json")),
    "openapi": Draft202012Validator(loaded(STANDARDS / "openapi-3.1.schema.json")),
}


def references(node, found=None):
    found = [] if found is None else found
    if isinstance(node, dict):
        found += [node["$ref"]] if "$ref" in node else []
        for child in node.values():
            references(child, found)
    elif isinstance(node, list):
        for child in node:
            references(child, found)
    return found


@pytest.mark.parametrize(("standard", "document"), [("asyncapi", ASYNCAPI), ("openapi", OPENAPI)])
def test_a_document_is_valid(standard, document):
    assert [error.message for error in VALIDATORS[standard].iter_errors(document)] == []


@pytest.mark.parametrize(
    ("standard", "document", "path", "wrong"),
    [
        ("asyncapi", ASYNCAPI, ("operations", "readEvents", "action"), "reads"),
        ("asyncapi", ASYNCAPI, ("channels", "events", "bindings", "kafka", "partitions"), "4"),
        ("asyncapi", ASYNCAPI, ("components", "messages", "event", "payload"), 7),
        ("openapi", OPENAPI, ("paths", "/v1/users/{user_id}", "get", "responses"), []),
        ("openapi", OPENAPI, ("info", "version"), 1),
    ],
)
def test_a_document_with_an_error_is_not_valid(standard, document, path, wrong):
    broken = copy.deepcopy(document)
    node = broken
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = wrong
    assert not VALIDATORS[standard].is_valid(broken)


@pytest.mark.parametrize("document", [ASYNCAPI, OPENAPI])
def test_every_reference_leads_somewhere(document):
    found = references(document)
    assert found
    for reference in found:
        if not reference.startswith("#/"):
            assert (CONTRACTS / reference).is_file(), reference
            continue
        node = document
        for step in reference[2:].split("/"):
            node = node[step]


def test_the_documents_have_the_programs_version():
    assert {ASYNCAPI["info"]["version"], OPENAPI["info"]["version"]} == {cartcast.__version__}


def test_the_channels_are_the_topics_that_are_created():
    prefix = ASYNCAPI["components"]["parameters"]["prefix"]["default"]
    addresses = {name: channel["address"].format(prefix=prefix) for name, channel in ASYNCAPI["channels"].items()}
    assert set(addresses.values()) == set(topic_configs(Topics()))
    kafka = KafkaSettings()
    for name, address in addresses.items():
        binding = ASYNCAPI["channels"][name]["bindings"]["kafka"]
        partitions = partitions_of(Topics(), kafka.partitions)[address]
        assert (binding["partitions"], binding["replicas"]) == (partitions, kafka.replication_factor)
        policy = topic_configs(Topics())[address].get("cleanup.policy")
        assert binding.get("topicConfiguration", {}).get("cleanup.policy") == (None if policy is None else [policy])
