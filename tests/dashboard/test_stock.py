import pytest

from dashboard.stock import known_items
from service.errors import LookUpError
from tests.dashboard.item_worker import item_worker


def test_a_worker_says_what_is_in_stock():
    with item_worker({"a": False, "b": True, "c": None}) as worker:
        found = known_items(worker.url, ["a", "c", "none"], token="sesame")  # noqa: S106 - not a secret
    assert {name: item.in_stock for name, item in found.items()} == {"a": False, "c": None}
    assert found["a"].title == "Title of a"
    assert worker.token == " ".join(["Bearer", "sesame"])


def test_a_worker_that_does_not_answer_is_said_to():
    with item_worker({}) as worker:
        url = worker.url
    with pytest.raises(LookUpError, match="cartcast worker"):
        known_items(url, ["a"])


def test_something_else_at_the_address_is_no_worker():
    with item_worker({}) as worker, pytest.raises(LookUpError, match="no worker"):
        known_items(f"{worker.url}/other", ["a"])
