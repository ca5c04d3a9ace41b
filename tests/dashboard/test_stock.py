import pytest

from dashboard.stock import known_items
from service.errors import LookUpError
from tests.dashboard.filled_shop import TOPIC
from tests.dashboard.item_worker import item_worker


def test_a_worker_says_what_is_in_stock():
    with item_worker({"a": False, "b": True, "c": None}) as worker:
        found = known_items(worker.url, ["a", "c", "none"], [TOPIC], token="sesame")  # noqa: S106 - not a secret
    assert {name: item.in_stock for name, item in found.items()} == {"a": False, "c": None}
    assert found["a"].title == "Title of a"
    assert worker.token == " ".join(["Bearer", "sesame"])


def test_a_worker_that_does_not_answer_is_said_to():
    with item_worker({}) as worker:
        url = worker.url
    with pytest.raises(LookUpError, match="cartcast worker"):
        known_items(url, ["a"], [TOPIC])


def test_something_else_at_the_address_is_no_worker():
    with item_worker({}) as worker, pytest.raises(LookUpError, match="no worker"):
        known_items(f"{worker.url}/other", ["a"], [TOPIC])


def test_a_worker_of_another_pipeline_is_refused_in_a_line():
    with item_worker({"a": False}, topic="other.events") as worker:
        with pytest.raises(LookUpError, match=rf"another pipeline's: it scores other.events, not a.events or {TOPIC}"):
            known_items(worker.url, ["a"], ["a.events", TOPIC])
        assert known_items(worker.url, ["a"], ["other.events", TOPIC])["a"].in_stock is False
