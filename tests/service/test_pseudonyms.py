"""Ids that are replaced under a key."""

import hashlib
import hmac
import json

import pytest
from pydantic import ValidationError

from service.kafka_settings import KafkaSettings
from service.pseudonyms import NO_PSEUDONYMS, Pseudonyms

KEY = "sixteen or more characters"
PSEUDONYMS = Pseudonyms(KEY)


def expected(given: str) -> str:
    return "p-" + hmac.new(KEY.encode(), given.encode(), hashlib.sha256).hexdigest()[:32]


@pytest.mark.parametrize("given", ["u1", "ü", "x" * 1024, "p-1", "p-" + "A" * 32])
def test_an_id_is_replaced_by_its_hash_and_a_pseudonym_is_its_own(given):
    assert PSEUDONYMS.of(given) == expected(given)
    assert PSEUDONYMS.of(expected(given)) == expected(given)
    assert Pseudonyms("another key of many characters").of(given) != expected(given)


def test_of_an_event_the_ids_are_replaced_and_nothing_else():
    fields = {"event_id": "e", "user_id": 7, "anonymous_id": "a", "price": 1.50, "context": {"x": [1, None]}}
    found = json.loads(PSEUDONYMS.of_event(json.dumps(fields).encode(), "7", "a"))
    assert found == fields | {"user_id": expected("7"), "anonymous_id": expected("a")}
    assert "anonymous_id" not in json.loads(PSEUDONYMS.of_event(b'{"user_id": "u"}', "u", None))


def test_without_a_key_nothing_is_replaced():
    assert not NO_PSEUDONYMS
    assert NO_PSEUDONYMS.of("u1") == "u1"
    assert NO_PSEUDONYMS.of_event(b'{"user_id":"u"}', "u", None) == b'{"user_id":"u"}'


def test_a_short_key_is_refused_and_none_is_shown():
    with pytest.raises(ValidationError, match="must have 16 characters or more") as refused:
        KafkaSettings(pseudonym_key="short-secret")
    assert "short-secret" not in str(refused.value.errors()[0]["msg"])
    assert KEY not in repr(KafkaSettings(pseudonym_key=KEY))
