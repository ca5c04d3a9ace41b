"""Answers that are remembered for a moment: many readers cost ClickHouse as much as one."""

import threading
import time
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from dashboard import config
from dashboard.clickhouse import Database, Parameters, Row
from service.clickhouse_settings import ClickHouseSettings

REMEMBERED_SECONDS: Final = 1.5
REMEMBERED_TIMES: Final = 4
"""An answer is remembered for so many times as long as it took, so that pages that update by themselves keep
ClickHouse busy for a part of the time only, however large the table is."""
MAX_ANSWERS: Final = 500

_Question: TypeAlias = tuple[ClickHouseSettings, str, tuple[tuple[str, str | int | float], ...]]


@dataclass
class _Answer:
    """What was answered and until when it holds; whoever asks while it is fetched waits for it."""

    fetching: threading.Lock = field(default_factory=threading.Lock)
    rows: list[Row] = field(default_factory=list)
    holds_until: float = 0.0


_databases: dict[ClickHouseSettings, Database] = {}
_answers: dict[_Question, _Answer] = {}
_changing = threading.Lock()


class RememberedDatabase:
    """The database of this process, whose answers serve everybody who asks the same."""

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Return what `Database.rows` does, and raise what it raises; failures are not remembered.

        The rows are shared: they are not to be changed.
        """
        question = (config.clickhouse(), sql, tuple(sorted((parameters or {}).items())))
        database, answer = _place_of(question)
        with answer.fetching:
            asked_at = time.monotonic()
            if asked_at >= answer.holds_until:
                answer.rows = database.rows(sql, parameters)
                took = time.monotonic() - asked_at
                answer.holds_until = asked_at + took + max(REMEMBERED_SECONDS, REMEMBERED_TIMES * took)
            return answer.rows


def _place_of(question: _Question) -> tuple[Database, _Answer]:
    """Return the database and the place for the answer; of too many answers the oldest questions' go."""
    with _changing:
        answer = _answers.pop(question, None) or _Answer()
        _answers[question] = answer
        while len(_answers) > MAX_ANSWERS:
            del _answers[next(iter(_answers))]
        settings = question[0]
        return _databases.setdefault(settings, Database(settings)), answer
