"""Runs `cartcast` within the test's own process; tests of signals, crashes and imports start a real one."""

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

import structlog

from cartcast.__main__ import main


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    status: int
    stdout: str
    stderr: str


def run_command(*arguments: object, environment: Mapping[str, str] | None = None) -> Ended:
    """Run `cartcast` to its end; `environment` is added to this process's own. A bug in it is raised."""
    status: object = 0
    with (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) as stdout,
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) as stderr,
    ):
        with (
            patch.object(sys, "argv", ["cartcast", *map(str, arguments)]),
            patch.dict(os.environ, environment or {}),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
            _logging_as_before(),
        ):
            try:
                main()
            except SystemExit as end:
                status = end.code
        return Ended(int(status or 0), _written(stdout), _written(stderr))


@contextmanager
def _logging_as_before() -> Iterator[None]:
    """Some commands set logging up for their own process; their stderr is gone after them."""
    root, structured = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**structured)


def _written(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()
