import io
import json
import logging
import subprocess
import sys

import pytest
import structlog

from service.log_settings import LogSettings
from service.logging import configure_logging
from tests.harness.ports import new_port


@pytest.fixture(autouse=True)
def _restored_logging():
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


class Terminal(io.StringIO):
    def isatty(self):
        return True


def logged(stream=None, **settings):
    stream = stream or io.StringIO()
    configure_logging(LogSettings(**settings), stream)
    log = structlog.get_logger()
    log.debug("detail")
    log.info("ready", partitions=[0, 1])
    logging.getLogger("library").warning("careful with %s", "this")
    logging.getLogger("library").info("chatter")
    return stream.getvalue().splitlines()


def test_what_is_no_terminal_gets_one_json_object_a_line():
    ready, warning = map(json.loads, logged())
    assert (ready["event"], ready["partitions"], ready["level"]) == ("ready", [0, 1], "info")
    assert (warning["event"], warning["logger"], warning["level"]) == ("careful with this", "library", "warning")
    assert ready["timestamp"].endswith("Z")


def test_a_terminal_gets_lines_for_a_person():
    ready, _ = logged(Terminal())
    assert "ready" in ready
    assert not ready.startswith("{")


def test_the_format_may_be_set():
    assert json.loads(logged(Terminal(), format="json")[0])["event"] == "ready"
    assert "{" not in logged(format="console")[0]


def test_the_level_may_be_set():
    assert [json.loads(line)["event"] for line in logged(level="error")] == []
    assert json.loads(logged(level="debug")[0])["event"] == "detail"


def test_a_traceback_shows_no_variables():
    stream = io.StringIO()
    configure_logging(LogSettings(format="console"), stream)
    try:
        shopper = "u-secret"
        raise ValueError(len(shopper))
    except ValueError:
        logging.getLogger("library").exception("failed")
    assert "ValueError: 8" in stream.getvalue()
    assert "= 'u-secret'" not in stream.getvalue()


def test_a_clickhouse_that_is_away_is_told_by_an_exception_alone():
    """In a command that has not configured logging, where Python prints errors to stderr."""
    settings = f"ClickHouseSettings(url='http://127.0.0.1:{new_port()}')"
    script = f"""
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from service.errors import UnavailableError
try:
    connect({settings})
except UnavailableError:
    print("away")
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("away\n", "")
