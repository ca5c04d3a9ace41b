"""`cartcast dashboard` as a process, and what it must not load."""

import asyncio
import http.client
import logging
import socket
import subprocess
import sys

import pytest
import uvicorn
from starlette.websockets import WebSocket, WebSocketState

from dashboard.server import address, flag_options, is_worth_a_line
from dashboard.settings import DashboardSettings
from tests.dashboard.databases import answers
from tests.harness.command import run_command
from tests.harness.ports import new_port
from tests.harness.waiting import eventually


def test_a_port_in_use_is_one_line_and_exits_with_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_command("dashboard", "--port", port)
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr


def test_an_address_of_another_machine_is_one_line_and_exits_with_1():
    ended = run_command("dashboard", "--host", "203.0.113.9")
    assert (ended.status, ended.stderr.count("\n")) == (1, 1)
    assert "203.0.113.9" in ended.stderr


@pytest.mark.parametrize("wrong", [("--worker-url", "worker:6066"), ("--port", "0"), ("--host", "")])
def test_a_wrong_option_exits_with_2(wrong):
    assert run_command("dashboard", *wrong).status == 2


WEB_SOCKET = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def status(port, host, **headers):
    """Of the pages, or of the web socket behind them, when they are asked for under a name."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/_stcore/stream" if headers else "/", headers={"Host": host, **headers})
    found = connection.getresponse().status
    connection.close()
    return found


def test_it_serves_those_who_name_it_until_sigterm_and_says_where(start_command):
    port = new_port()
    named = {"CARTCAST_DASHBOARD__NAMES": "shop.example"}
    process = start_command("dashboard", "--port", str(port), "--url", "http://127.0.0.1:9", environment=named)
    assert f"http://127.0.0.1:{port}" in process.stderr.readline()
    eventually(lambda: answers(f"http://127.0.0.1:{port}/_stcore/health"), "the pages")
    asked = {host: status(port, host) for host in ("localhost:1", "10.0.0.7", "shop.example", "evil.example")}
    assert asked == {"localhost:1": 200, "10.0.0.7": 200, "shop.example": 200, "evil.example": 421}
    assert status(port, "evil.example", **WEB_SOCKET) == 403
    process.terminate()
    _, err = process.communicate()
    assert process.returncode == 0
    assert "Traceback" not in err


def test_a_reader_who_leaves_is_no_error_in_the_log():
    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(is_worth_a_line)
    try:
        uvicorn.Config(app=lambda: None)  # sets logging up its own way
        kept = [logger.filter(_failed(close)) for close in (_close_what_has_ended, lambda: int("x"))]
    finally:
        logger.removeFilter(is_worth_a_line)
    assert kept[0] is False
    assert kept[1]


def _close_what_has_ended() -> None:
    """Do what Streamlit does to a connection whose reader has gone."""
    gone = WebSocket({"type": "websocket"}, receive=None, send=None)
    gone.application_state = WebSocketState.DISCONNECTED
    asyncio.run(gone.close())


def _failed(work) -> logging.LogRecord:
    try:
        work()
    except (RuntimeError, ValueError) as failure:
        traceback = (type(failure), failure, failure.__traceback__)
    return logging.LogRecord("uvicorn.error", logging.ERROR, __file__, 1, "failed", (), traceback)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "http://127.0.0.1:8501"), ("0.0.0.0", "http://127.0.0.1:8501"), ("::", "http://[::1]:8501")],  # noqa: S104 - nothing is bound
)
def test_the_address_is_one_that_a_browser_here_can_open(host, shown):
    assert address(DashboardSettings(host=host)) == shown


def test_nothing_is_reported_to_anybody():
    options = flag_options(DashboardSettings())
    assert options["browser_gatherUsageStats"] is False
    assert options["server_headless"] is True
    assert options["server_showEmailPrompt"] is False


def test_the_dashboard_loads_no_torch_no_kafka_and_no_other_room():
    code = (
        "import pkgutil, sys, dashboard\n"
        "for module in pkgutil.walk_packages(dashboard.__path__, 'dashboard.'):\n"
        "    if 'entry' not in module.name: __import__(module.name)\n"
        "print(' '.join({name.split('.')[0] for name in sys.modules}), file=sys.__stderr__)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ended.stderr.splitlines()[-1].split())
    assert "dashboard" in loaded
    assert loaded.isdisjoint({"torch", "faust", "confluent_kafka", "chdb", "sinks", "streams", "cartcast"})


def test_what_pages_need_is_imported_before_the_port_opens():
    code = (
        "import sys\nfrom streamlit.web import bootstrap\nfrom dashboard.server import serve\n"
        "from dashboard.settings import Config, DashboardSettings\nfrom service.clickhouse_settings import *\n"
        f"settings = DashboardSettings(port={new_port()})\n"
        "bootstrap.run = lambda *_, **__: print([name in sys.modules for name in "
        "('pandas', 'pyarrow', 'altair', 'dashboard.pages.overview')])\n"
        "serve(Config(ClickHouseSettings(), settings))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[True, True, True, True]\n"
