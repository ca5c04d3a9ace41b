"""Serves the pages with Streamlit in this process: no telemetry, no questions, nothing loaded from elsewhere."""

import logging
import socket
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.annotations import noted
from dashboard.settings import Config, DashboardSettings
from service.errors import ListenError
from service.hosts import WRONG_HOST, Hosts, names_in

SCRIPT: Final = Path(__file__).with_name("entry") / "main.py"

_LIGHT: Final = {
    "primaryColor": "#0f766e",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f4f6f8",
    "textColor": "#1c2530",
    "borderColor": "#dfe4ea",
    "dataframeHeaderBackgroundColor": "#f4f6f8",
}
_DARK: Final = {
    "primaryColor": "#2dd4bf",
    "backgroundColor": "#10151c",
    "secondaryBackgroundColor": "#1a212b",
    "textColor": "#e6eaf0",
    "borderColor": "#2c3642",
    "dataframeHeaderBackgroundColor": "#1a212b",
}
_SHARED: Final = {"baseRadius": "0.6rem", "showWidgetBorder": True, "metricValueFontSize": "1.75rem"}


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises ListenError if the port is taken or the host is not this machine's, FormatError of a file of annotations.
    """
    check_port(config.settings)
    if config.settings.annotations:
        noted(config.settings.annotations, ZoneInfo(config.settings.time_zone))
    from streamlit.web import bootstrap  # noqa: PLC0415 - a second to load: not for a port that is taken

    from dashboard.config import configure  # noqa: PLC0415

    configure(config)
    import_what_pages_need()
    check_hosts(Hosts((config.settings.host, *names_in(config.settings.names))))
    logging.getLogger("uvicorn.error").addFilter(is_worth_a_line)
    options = flag_options(config.settings)
    bootstrap.load_config_options(options)
    bootstrap.run(str(SCRIPT), is_hello=False, args=[], flag_options=options)


def import_what_pages_need() -> None:
    """Import all that pages import, some of it late: two first visitors at once would find half-imported modules."""
    for name in ("pandas", "pyarrow", "altair", "dashboard.app"):
        import_module(name)


def check_hosts(hosts: Hosts) -> None:
    """Have Streamlit's server refuse requests whose Host header names another machine (DNS rebinding)."""
    from streamlit.web.server.starlette import starlette_app  # noqa: PLC0415 - a second to load

    from dashboard.downloads import Downloads  # noqa: PLC0415

    before = starlette_app.create_streamlit_middleware

    def create_streamlit_middleware() -> list[Middleware]:
        return [Middleware(_HostCheck, hosts), Middleware(Downloads), *before()]

    starlette_app.create_streamlit_middleware = create_streamlit_middleware


class _HostCheck:
    """ASGI middleware: pages and their web sockets for those who name this machine."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._hosts.admits(Headers(scope=scope).get("host", "")):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse(f"{WRONG_HOST} in dashboard.names\n", 421)(scope, receive, send)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Return False for the traceback of a connection that has ended: a reader who leaves is no error.

    Streamlit answers a connection that ended while it waited by closing it once more, which Starlette refuses.
    """
    return not (record.exc_info and type(record.exc_info[1]).__name__ == "WebSocketDisconnected")


def address(settings: DashboardSettings) -> str:
    """Return where a browser on this machine finds the pages."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host and '[' not in host else host}:{settings.port}"


def check_port(settings: DashboardSettings) -> None:
    """Raise ListenError if nothing can listen there now."""
    where = f"{settings.host}:{settings.port}"
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as failure:
        raise ListenError(
            f"the dashboard cannot listen on {where} ({(failure.strerror or 'error').lower()}): "
            "choose another --port or --host"
        ) from None


def flag_options(settings: DashboardSettings) -> dict[str, Any]:
    """Return Streamlit's options as its command line names them; they win over files that lie around."""
    return {
        "server_address": settings.host,
        "server_port": settings.port,
        "server_headless": True,
        "server_showEmailPrompt": False,
        "server_fileWatcherType": "none",
        "server_runOnSave": False,
        "browser_gatherUsageStats": False,
        "global_developmentMode": False,
        "client_toolbarMode": "minimal",
        "client_showErrorDetails": "none",
        "client_showErrorLinks": False,
        "client_disableDataExport": True,  # each table has a button, which guards against formulas
        "logger_level": "warning",
        "logger_hideWelcomeMessage": True,
        **{f"theme_{name}": value for name, value in _SHARED.items()},
        **{f"theme_light_{name}": value for name, value in _LIGHT.items()},
        **{f"theme_dark_{name}": value for name, value in _DARK.items()},
    }
