"""The AsyncAPI document of the topics: names, keys, partitioning, headers, and the schemas of values."""

from collections.abc import Sequence
from typing import Any, Final

import cartcast
from service.kafka_settings import KafkaSettings, Topics
from streams.topic_configs import partitions_of, topic_configs

Node = dict[str, Any]

_JSON_SCHEMA: Final = "application/schema+json;version=draft-2020-12"
_PREFIX: Final = "{prefix}"
_TOPICS: Final = Topics(prefix=_PREFIX)
_KEY: Final[Node] = {"type": "string", "description": "The shopper's `user_id`, UTF-8"}
_BINARY: Final[Node] = {"type": "string", "format": "binary"}

_MESSAGES: Final[dict[str, Node]] = {
    "event": {
        "title": "Event",
        "summary": "What one shopper did at one moment",
        "contentType": "application/json",
        "payload": {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": "./event.schema.json"}},
        "bindings": {"kafka": {"key": _KEY}},
    },
    "score": {
        "title": "Score",
        "summary": "One accepted event with its propensities",
        "contentType": "application/json",
        "headers": {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": "./score-headers.schema.json"}},
        "payload": {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": "./score.schema.json"}},
        "bindings": {"kafka": {"key": _KEY}},
    },
    "recommendation": {
        "title": "Recommendation",
        "summary": "What the shopper of an event is likeliest to want next",
        "contentType": "application/json",
        "headers": {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": "./score-headers.schema.json"}},
        "payload": {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": "./recommendation.schema.json"}},
        "bindings": {"kafka": {"key": _KEY}},
    },
    "deadLetter": {
        "title": "Dead letter",
        "summary": "A record that is no event, byte for byte, with what is wrong in its headers",
        "contentType": "application/octet-stream",
        "headers": {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": "./dead-letter-headers.schema.json"}},
        "payload": {**_BINARY, "description": "The value as it was received; none if it was a tombstone"},
        "bindings": {"kafka": {"key": {**_BINARY, "description": "The key as it was received; none if it had none"}}},
    },
    "item": {
        "title": "Item",
        "summary": "What one item of the shop's catalogue is; no value (a tombstone) takes it away",
        "contentType": "application/json",
        "payload": {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": "./item.schema.json"}},
        "bindings": {"kafka": {"key": {"type": "string", "description": "The item's `item_id`, UTF-8"}}},
    },
    "state": {
        "title": "Sequence state",
        "summary": "What a worker knows of one shopper",
        "description": "Internal: its layout is `model/sequence.py` and may change with every version.",
        "contentType": "application/octet-stream",
        "payload": _BINARY,
        "bindings": {"kafka": {"key": _KEY}},
    },
    "joining": {
        "title": "Claim or transfer",
        "summary": "An anonymous id that a user claims, or its state on the way to the user's",
        "description": "Internal: `streams/identity.py` says what it is; it may change with every version.",
        "contentType": "application/octet-stream",
        "payload": _BINARY,
        "bindings": {"kafka": {"key": _KEY}},
    },
    "forgetting": {
        "title": "Request to forget, or what was done about it",
        "summary": "A request by the digest of an id, or how far states or rows are gone",
        "description": "Internal: `service/forget.py` says what it is. `cartcast forget` writes requests.",
        "contentType": "application/json",
        "payload": {"type": "object"},
        "bindings": {"kafka": {"key": _KEY}},
    },
}
_CHANNELS: Final[dict[str, tuple[str, str, str]]] = {
    "events": (
        _TOPICS.events,
        "event",
        (
            "What shoppers do. The key must be the event's `user_id`, and producers must choose partitions as Java "
            "clients do (murmur2 of the key; librdkafka: `partitioner=murmur2_random`): one shopper, one partition. A "
            "record with another key, or none, is a dead letter. Events of a partition are scored in its order."
        ),
    ),
    "scores": (
        _TOPICS.scores,
        "score",
        (
            "One score for each accepted event, in the partition with its event's number, so that a shopper's scores "
            "are in order. At least once: a record may be repeated, with the same headers and value, and then its "
            "offset header is not above the highest one of its partition: drop it. The record's time is the broker's "
            "(LogAppendTime)."
        ),
    ),
    "recommendations": (
        _TOPICS.recommendations,
        "recommendation",
        (
            "One recommendation for each event of the types that `recommendations.events` names, in the partition with "
            "its event's number, in order. At least once, as the scores: of two with the same offset header the first "
            "counts."
        ),
    ),
    "deadLetters": (
        _TOPICS.dead_letters,
        "deadLetter",
        "Records of the events topic that are no events. At least once, as the scores.",
    ),
    "items": (
        _TOPICS.items,
        "item",
        (
            "The shop's catalogue: the last record of a key is what the item is now. Every worker reads all of it when "
            "it starts, and follows it. A record with another key than its `item_id`, or none, is refused."
        ),
    ),
    "identity": (
        _TOPICS.identity,
        "joining",
        "What workers tell each other of anonymous ids that users claim. Only workers write and read it.",
    ),
    "forget": (
        _TOPICS.forget,
        "forgetting",
        (
            "Who is to be forgotten, by the SHA-256 of the id in the partition of the shopper's events, and behind it "
            "what workers and sinks have done about it."
        ),
    ),
    "changelog": (
        _TOPICS.changelog,
        "state",
        "The workers' states, by shopper. Only workers write and read it.",
    ),
}
_OPERATIONS: Final[dict[str, tuple[str, str, str]]] = {
    "readEvents": ("receive", "events", "Workers read events."),
    "readItems": ("receive", "items", "Workers read the catalogue."),
    "publishScores": ("send", "scores", "Workers publish scores."),
    "publishRecommendations": ("send", "recommendations", "Workers publish recommendations, if that is on."),
    "publishDeadLetters": ("send", "deadLetters", "Workers publish what is no event."),
    "writeStates": ("send", "changelog", "Workers write states once a commit interval."),
    "readRequests": ("receive", "forget", "Workers and sinks read who is to be forgotten."),
    "reportForgotten": ("send", "forget", "Workers and sinks say how far they have forgotten."),
    "sendJoinings": ("send", "identity", "Workers send claims, and states that were claimed."),
    "readJoinings": ("receive", "identity", "Workers read what is for their partitions."),
    "restoreStates": ("receive", "changelog", "Workers read states when they get a partition."),
    "storeScores": ("receive", "scores", "Sinks read scores and store them in ClickHouse."),
    "storeRecommendations": ("receive", "recommendations", "Sinks read recommendations and store them, if that is on."),
    "storeDeadLetters": ("receive", "deadLetters", "Sinks read dead letters and store what their headers say."),
}


def asyncapi_document() -> Node:
    """Return the AsyncAPI 3.0 document, from the point of view of workers and sinks."""
    configs, partitions = topic_configs(_TOPICS), partitions_of(_TOPICS, KafkaSettings().partitions)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Cartcast",
            "version": cartcast.__version__,
            "description": "A behaviour event goes in, the probability that this shopper buys comes out.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": KafkaSettings().bootstrap_servers,
                "protocol": "kafka",
                "description": "The setting `kafka.bootstrap_servers`, here its default",
            }
        },
        "channels": {
            name: {
                "address": address,
                "description": meaning,
                "messages": {message: {"$ref": f"#/components/messages/{message}"}},
                "parameters": {"prefix": {"$ref": "#/components/parameters/prefix"}},
                "bindings": {"kafka": _topic_binding(configs[address], partitions[address])},
            }
            for name, (address, message, meaning) in _CHANNELS.items()
        },
        "operations": {
            name: _operation(action, channel, [_CHANNELS[channel][1]], meaning)
            for name, (action, channel, meaning) in _OPERATIONS.items()
        },
        "components": {
            "messages": _MESSAGES,
            "parameters": {
                "prefix": {"default": Topics().prefix, "description": "The setting `kafka.topic_prefix`"},
            },
        },
    }


def _topic_binding(config: dict[str, str], partitions: int) -> Node:
    """Return what `cartcast topics create` makes by default; the brokers decide what is not named."""
    binding: Node = {"partitions": partitions, "replicas": KafkaSettings().replication_factor}
    if "cleanup.policy" in config:
        binding["topicConfiguration"] = {"cleanup.policy": [config["cleanup.policy"]]}
    return binding


def _operation(action: str, channel: str, messages: Sequence[str], meaning: str) -> Node:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": meaning,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"} for message in messages],
    }
