"""What the long-running processes write to stderr: one structured line an event, never a shopper's data."""

import logging
import sys
from typing import TextIO

import structlog

from service.log_settings import LogSettings

REPORTED_BY_CALLERS = ("clickhouse_connect", "urllib3")
"""Loggers that warn of each failure which the caller gets as an exception and reports in its own words."""


def leave_failures_to_callers() -> None:
    """Quieten the loggers of REPORTED_BY_CALLERS: the caller reports each in one line."""
    for name in REPORTED_BY_CALLERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def configure_logging(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's loggers to `stream` (stderr).

    `auto` writes for a person when the stream is a terminal and JSON, one object a line, when it is not.
    """
    stream = stream or sys.stderr
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    in_json = settings.format == "json" or (settings.format == "auto" and not stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown: list[structlog.typing.Processor] = [
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
    ]
    if in_json:
        shown = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=shared + shown,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    _send_standard_library(stream, max(level, logging.WARNING), shared, shown)


def _send_standard_library(
    stream: TextIO, level: int, shared: list[structlog.typing.Processor], shown: list[structlog.typing.Processor]
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    leave_failures_to_callers()
