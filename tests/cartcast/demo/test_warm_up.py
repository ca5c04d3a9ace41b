import pytest

from cartcast.demo import warm_up as module
from cartcast.demo.warm_up import warm_up
from tests.harness.ports import new_port


def test_a_broker_that_is_too_slow_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.01)
    warm_up({"bootstrap.servers": f"127.0.0.1:{new_port()}"})
