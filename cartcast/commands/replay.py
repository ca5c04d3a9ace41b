"""`cartcast replay`."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from cartcast.commands.shared.event_files import EventFiles
from cartcast.commands.shared.options import (
    EXIT_INTERRUPTED,
    BootstrapServers,
    Files,
    OptionalFormat,
    ShopFile,
    Strict,
    TopicPrefix,
    given,
    settings_of,
)
from cartcast.commands.shared.progress import progress_bar
from cartcast.commands.shared.shop_file import read_shop
from cartcast.local.signals import StopRequested, stop_signals_raise
from service.errors import FormatError, UsageError

if TYPE_CHECKING:
    from streams.replay import EventProducer, Replay, Replayed, Schedule


def replay(
    context: typer.Context,
    files: Files,
    format_name: OptionalFormat = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events per second.")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="So many times as fast as it happened; 1 is as it happened.")
    ] = None,
    shop: ShopFile = None,
    strict: Strict = False,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: TopicPrefix = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")] = False,
) -> None:
    """Send history from files to the events topic, keyed by shopper, and confirm every delivery.

    Without --rate or --speed it goes as fast as the brokers take it. A row that is no event goes to the dead-letter
    topic as it is, with the file's name and the line's number in its headers.

    Example: cartcast replay UserBehavior.csv.gz --format taobao --rate 2000
    """
    schedule = _schedule(rate, speed)
    from streams.replay import EventProducer, Replay
    from streams.topics import check_topics

    event_files = EventFiles(files, format_name, strict=strict, shop=read_shop(shop))
    flags = given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    kafka = settings_of(context, kafka=flags).kafka
    check_topics(kafka.client_config(), kafka.topics)
    started = time.monotonic()
    with EventProducer(kafka.client_config(), kafka.topics, kafka.pseudonyms) as producer:
        run = Replay(producer, schedule)
        interrupted = _send_files(run, producer, event_files)
    seconds = time.monotonic() - started
    for note in event_files.reading.notes:
        print(note, file=sys.stderr)
    _report(run.replayed, producer.refused, seconds, interrupted=interrupted, as_json=as_json)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def _schedule(rate: float | None, speed: float | None) -> "Schedule":
    if rate is not None and speed is not None:
        raise UsageError("--rate and --speed exclude each other: give one of them")
    from streams.replay import at_once, at_rate, at_speed

    if rate is not None:
        return at_rate(rate)
    return at_speed(speed) if speed is not None else at_once


def _send_files(run: "Replay", producer: "EventProducer", files: EventFiles) -> bool:
    """Send all files; return whether a signal broke it off. What was sent is confirmed in either case."""
    try:
        with stop_signals_raise(), progress_bar("replay", files.total_bytes) as advance:
            for name, rows in files.each(lambda done_bytes: advance(done_bytes, _words(run.replayed))):
                run.send_rows(name, rows)
            producer.flush()
    except StopRequested:
        return True
    except FormatError as failure:
        producer.flush()
        raise FormatError(f"{failure} ({run.replayed.events} events before it were sent)") from None
    return False


def _words(replayed: "Replayed") -> str:
    return f"{replayed.events:,} events, {replayed.bad_rows:,} bad rows"


def _report(replayed: "Replayed", refused: int, seconds: float, *, interrupted: bool, as_json: bool) -> None:
    for file_name, row in replayed.first_bad_rows:
        print(f"bad row: {file_name}, line {row.line}: {row.error}", file=sys.stderr)
    if (more := replayed.bad_rows - len(replayed.first_bad_rows)) > 0:
        print(f"bad rows: and {more:,} more, all of them in the dead-letter topic", file=sys.stderr)
    if refused:
        print(
            f"the events topic did not take {refused:,} events: they are dead letters of reason size", file=sys.stderr
        )
    events = replayed.events - refused
    if as_json:
        counts = {"events": events, "bad_rows": replayed.bad_rows, "refused": refused}
        print(json.dumps({**counts, "seconds": round(seconds, 3), "interrupted": interrupted}))
        return
    end = "interrupted after" if interrupted else "sent"
    print(f"{end} {events:,} events and {replayed.bad_rows:,} bad rows, all confirmed, in {seconds:.1f} s")
