import threading

import pytest

from dashboard import config, remembered
from dashboard.remembered import RememberedDatabase
from dashboard.settings import Config
from service.clickhouse_settings import ClickHouseSettings
from service.errors import UnavailableError


class Asked:
    """Counts questions; fails while told to; has a clock."""

    def __init__(self):
        self.now = 100.0
        self.questions = []
        self.fails = False

    def rows(self, sql, parameters=None):
        self.questions.append((sql, parameters))
        if self.fails:
            raise UnavailableError("away")
        return [{"n": len(self.questions)}]


@pytest.fixture
def asked(monkeypatch):
    source, asked = ClickHouseSettings(url="http://nowhere", database="d"), Asked()
    monkeypatch.setattr(remembered, "_answers", {})
    monkeypatch.setitem(remembered._databases, source, asked)
    monkeypatch.setattr(remembered.time, "monotonic", lambda: asked.now)
    config.configure(Config(source))
    return asked


def test_the_same_question_is_asked_once_in_a_while(asked):
    for _ in range(3):
        assert RememberedDatabase().rows("SELECT 1") == [{"n": 1}]
    asked.now += remembered.REMEMBERED_SECONDS
    assert RememberedDatabase().rows("SELECT 1") == [{"n": 2}]


def test_other_parameters_are_another_question(asked):
    assert RememberedDatabase().rows("SELECT 1", {"a": 1}) != RememberedDatabase().rows("SELECT 1", {"a": 2})
    assert len(asked.questions) == 2


def test_a_failure_is_not_remembered(asked):
    asked.fails = True
    with pytest.raises(UnavailableError):
        RememberedDatabase().rows("SELECT 1")
    asked.fails = False
    assert RememberedDatabase().rows("SELECT 1") == [{"n": 2}]


def test_only_so_many_answers_are_kept(asked, monkeypatch):
    monkeypatch.setattr(remembered, "MAX_ANSWERS", 3)
    for number in range(10):
        RememberedDatabase().rows("SELECT 1", {"n": number})
    assert len(asked.questions) == 10
    assert len(remembered._answers) == 3


def test_readers_who_ask_at_the_same_time_share_an_answer(asked):
    threads = [threading.Thread(target=RememberedDatabase().rows, args=("SELECT 1",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked.questions) == 1
