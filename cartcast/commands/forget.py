"""`cartcast forget`: shoppers who are to be forgotten, and what became of that."""

import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cartcast.commands.shared.options import settings_of
from cartcast.commands.shared.progress import progress_bar
from model.events import MAX_ID_BYTES
from service.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from cartcast.receipt import Asked
    from cartcast.settings import Settings
    from service.forget import Requests

_TURN_SECONDS: Final = 0.5
_SHOWN_FROM: Final = 1000
"""Of more shoppers a bar shows how far it is."""
_AT_ONCE: Final = 30_000


def forget(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Shoppers, by their ids.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Further ids, one a line.", metavar="FILE")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when states and rows are gone.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="With --wait: fail after so many seconds.", metavar="SECONDS")
    ] = 600.0,
    status: Annotated[bool, typer.Option("--status", help="Say what is still to be done, and ask nothing.")] = False,
) -> None:
    """Have shoppers forgotten: their states, their rows in ClickHouse, and what they do from now on.

    Prints a receipt, one JSON object: what was removed where, and what remains where until when (docs/privacy.md).
    Workers and sinks do it as soon as they run. Safe to repeat; an id that nobody knows is refused from now on as well.

    Example: cartcast forget 8243 --wait
    """
    settings = settings_of(context)
    given = [settings.kafka.pseudonyms.of(each.decode()).encode() for each in _distinct(ids or [], file)]
    if status == bool(given):
        raise UsageError("give shoppers to forget, by id or --file, or --status alone")
    if status:
        print(json.dumps(_status(settings)))
        return
    from cartcast.receipt import read_partitions, receipt, remaining
    from service.forget import Requests, now_ms

    asked = _ask(settings, given)
    said = {number: Requests() for number in range(asked.partitions)}
    read_partitions(settings.kafka, said)
    if wait:
        _wait(settings, asked, said, timeout)
    print(json.dumps(receipt(asked, said, remaining(settings.kafka, settings.clickhouse, now_ms()))))


def _distinct(ids: Iterable[str], file: Path | None) -> Iterator[bytes]:
    """Yield each id once; raises UsageError for one that no event can have."""
    known = set[bytes]()
    for where, given in _named(ids, file):
        if not given or len(given) > MAX_ID_BYTES:
            raise UsageError(f"{where}: no id, which has 1 to {MAX_ID_BYTES} bytes; nobody was asked to be forgotten")
        if given not in known:
            known.add(given)
            yield given


def _named(ids: Iterable[str], file: Path | None) -> Iterator[tuple[str, bytes]]:
    for place, each in enumerate(ids, 1):
        yield f"argument {place}", each.encode()
    if file is None:
        return
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield f"{file}, line {number}", _utf8(line.rstrip(b"\r\n"))
    except OSError as failure:
        raise UsageError(f"--file {file}: cannot be read ({failure.strerror})") from None


def _utf8(line: bytes) -> bytes:
    """Return a line that is UTF-8, nothing in the place of another."""
    return line if line.decode(errors="replace").encode() == line else b""


def _ask(settings: "Settings", ids: list[bytes]) -> "Asked":
    """Send a request for each id, once ClickHouse has said how many rows there are; raises CartcastError."""
    from cartcast.receipt import Asked
    from service.forget import ForgetProducer, Request, digest, now_ms
    from sinks.erasing import RowEraser
    from streams.topics import check_topics

    kafka = settings.kafka
    client_config = kafka.client_config()
    partitions = check_topics(client_config, kafka.topics)
    eraser, rows = RowEraser(settings.clickhouse), Counter[str]()
    with progress_bar("count rows", len(ids), visible=len(ids) > _SHOWN_FROM) as advance:
        for done in range(0, len(ids), _AT_ONCE):
            rows.update(eraser.count([digest(each) for each in ids[done : done + _AT_ONCE]]))
            advance(done + _AT_ONCE, f"{rows.total():,} rows")
    request = Request(str(uuid.uuid4()), now_ms())
    producer = ForgetProducer(client_config, kafka.topics.forget, partitions)
    with progress_bar("ask", len(ids), visible=len(ids) > _SHOWN_FROM) as advance:
        for done, each in enumerate(ids, 1):
            producer.ask(each, request)
            if done % _SHOWN_FROM == 0:
                advance(done, f"{done:,} shoppers")
        producer.flush()
    return Asked(request, len(ids), partitions, rows)


def _wait(settings: "Settings", asked: "Asked", said: "dict[int, Requests]", timeout: float) -> None:
    """Return when all states and rows are gone; raises UnavailableError if it takes too long."""
    from cartcast.receipt import pending_partitions, read_partitions
    from service.forget import PARTS, STATES

    deadline, told, name = time.monotonic() + timeout, "", asked.request.request
    with progress_bar("forget", 2 * asked.shoppers, visible=asked.shoppers > _SHOWN_FROM) as advance:
        while any((pending := pending_partitions(asked, said)).values()):
            left = {part: sum(each.pending(part, name) for each in said.values()) for part in PARTS}
            advance(
                2 * asked.shoppers - sum(left.values()), ", ".join(f"{n:,} {part} left" for part, n in left.items())
            )
            if (line := _pending_line(pending)) != told:
                print(f"cartcast: {line}", file=sys.stderr)
                told = line
            if time.monotonic() > deadline:
                who = "worker" if pending[STATES] else "sink"
                raise UnavailableError(
                    f"{line} after {timeout:g} s: see whether every {who} runs (`cartcast status`); the request stays, "
                    "`cartcast forget --status` says how far it is"
                )
            time.sleep(_TURN_SECONDS)
            read_partitions(settings.kafka, said)


def _pending_line(pending: Mapping[str, list[int]]) -> str:
    parts = (f"{part} of partitions {', '.join(map(str, numbers))}" for part, numbers in pending.items() if numbers)
    return f"not forgotten yet: {', '.join(parts)}"


def _status(settings: "Settings") -> dict[str, object]:
    from cartcast.receipt import read_partitions
    from service.forget import PARTS, Requests
    from streams.topics import check_topics

    partitions = check_topics(settings.kafka.client_config(), settings.kafka.topics)
    said = {number: Requests() for number in range(partitions)}
    read_partitions(settings.kafka, said)
    return {
        "requests": sum(each.count for each in said.values()),
        "pending": {part: sum(each.pending(part) for each in said.values()) for part in PARTS},
        "partitions": [
            {
                "partition": number,
                "requests": each.count,
                **{f"{part}_pending": each.pending(part) for part in PARTS},
            }
            for number, each in said.items()
        ],
    }
