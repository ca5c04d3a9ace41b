"""`cartcast dead-letters`: what was refused, and sending it again once it can be read."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from heapq import nlargest
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cartcast.commands.shared.app import App
from cartcast.commands.shared.options import check_pseudonyms, moment_ms, settings_of
from model.events import InputFormat

if TYPE_CHECKING:
    from service.kafka_settings import KafkaSettings
    from streams.letters import DeadLetter, Resent

app = App(help="Records that are no events, and why.", no_args_is_help=True)

Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", metavar="REASON", help="Only letters with it; may be given several times."),
]
Since = Annotated[
    int | None,
    typer.Option(
        parser=moment_ms, metavar="TIME", help="Only letters written since then: 1h (ago), 2026-01-31, RFC 3339, or ms."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
_ROW: Final = "{:<12} {:>9}  {:<20} {}"


@app.command(name="list")
def list_(context: typer.Context, reasons: Reasons = None, since: Since = None, as_json: Json = False) -> None:
    """Count the dead letters by reason, with the error of the first one. Shows nothing that a shopper did.

    Example: cartcast dead-letters list --since 2026-01-31
    """
    kafka = settings_of(context).kafka
    counts, first = Counter[tuple[str, str]](), dict[tuple[str, str], str]()
    for letter in _letters(kafka, reasons or (), since or 0):
        kind = (letter.reason, letter.source_topic)
        counts[kind] += 1
        first.setdefault(kind, letter.error)
    if as_json:
        found = [{"reason": r, "from": t, "letters": n, "error": first[r, t]} for (r, t), n in counts.most_common()]
        print(json.dumps({"letters": counts.total(), "reasons": found}))
        return
    print(_ROW.format("reason", "letters", "from", "error of the first"))
    for (reason, topic), number in counts.most_common():
        print(_ROW.format(reason, f"{number:,}", topic, first[reason, topic]))


@app.command()
def show(
    context: typer.Context,
    reasons: Reasons = None,
    since: Since = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="So many of the last ones.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print each letter as one JSON object.")] = False,
) -> None:
    """Print the last dead letters with what was refused: records as they came, which hold what shoppers did.

    Example: cartcast dead-letters show --reason price --since 1h
    """
    from cartcast.commands.shared.records import origin_of, record_object, text_of, time_of

    letters = _letters(settings_of(context).kafka, reasons or (), since or 0)
    for letter in reversed(nlargest(count, letters, key=lambda letter: letter.time_ms)):
        record = record_object(letter.record)
        if as_json:
            print(json.dumps(record))
            continue
        print(f"{letter.reason}: {letter.error}  ({origin_of(record['headers'])}, {time_of(letter.record)})")
        print(f"  {text_of(letter.value)}{' ... (cut)' if letter.is_cut else ''}")


@app.command()
def replay(
    context: typer.Context,
    reasons: Reasons = None,
    since: Since = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Send dead letters of the events topic to it again, if they are events by now, keyed by their shopper.

    By now: under the setting worker.input_format, and with this version's rules. The others stay where they are, and so
    do letters about rows of files and about scores, and letters that hold only the beginning of a record. Letters of
    reason key are left out unless --reason key names them: their producer had another key than the shopper's, so the
    event may be made up, and sent again it counts as the shopper's own. So are letters of reason late, which would be
    late again. An event that was scored already changes nothing: it is a duplicate while it is among its shopper's
    last 64, and late after that.

    Example: cartcast dead-letters replay --reason key --since 2026-01-31T08:00:00Z --dry-run
    """
    settings = settings_of(context)
    check_pseudonyms(settings)
    resent = _replay(settings.kafka, settings.worker.input_format, reasons or (), since or 0, dry_run=dry_run)
    rejected = {reason: count for reason, count in resent.rejected.most_common() if count}
    if as_json:
        left = {"elsewhere": resent.elsewhere, "cut": resent.cut, "not_named": dict(resent.unnamed)}
        print(json.dumps({"sent": resent.sent, "rejected": rejected, **left, "dry_run": dry_run}))
        return
    print(f"{'would send' if dry_run else 'sent'} {resent.sent:,} events to {settings.kafka.topics.events}")
    if rejected:
        print(f"left {resent.rejected.total():,} that still are no events: {_described(rejected)}")
    if wrong_key := resent.unnamed["key"]:
        print(
            f"left {wrong_key:,} whose producer had another key than the shopper's: send them, with "
            "--reason key, only if you know who wrote them"
        )
    if late := resent.unnamed["late"]:
        print(f"left {late:,} that are older than what their shoppers' states remember: they would be late again")
    if resent.cut:
        print(f"left {resent.cut:,} that hold only the beginning of a record")
    if resent.elsewhere:
        print(f"left {resent.elsewhere:,} that are not about records of {settings.kafka.topics.events}")


def _replay(
    kafka: "KafkaSettings",
    input_format: InputFormat,
    reasons: Sequence[str],
    since_ms: int,
    *,
    dry_run: bool,
) -> "Resent":
    from model.formats.records import decoder_of
    from streams.letters import resend
    from streams.replay import SIZE, EventProducer

    letters = _letters(kafka, reasons, since_ms)
    decode = decoder_of(input_format)
    if dry_run:
        return resend(letters, kafka.topics.events, decode, lambda *_: None, reasons, pseudonyms=kafka.pseudonyms)
    with EventProducer(kafka.client_config(), kafka.topics) as producer:
        resent = resend(letters, kafka.topics.events, decode, producer.send_bytes, reasons, pseudonyms=kafka.pseudonyms)
    resent.sent -= producer.refused
    resent.rejected[SIZE] += producer.refused
    return resent


def _letters(kafka: "KafkaSettings", reasons: Sequence[str], since_ms: int) -> "Iterator[DeadLetter]":
    """Yield the letters that are there now, partition after partition."""
    from streams.changelog import PartitionReader
    from streams.letters import dead_letters_of
    from streams.topics import check_topics

    partitions = check_topics(kafka.client_config(), kafka.topics)
    with closing(PartitionReader({**kafka.client_config(), "log_level": 0})) as reader:
        records = (reader.records(kafka.topics.dead_letters, partition) for partition in range(partitions))
        yield from dead_letters_of(chain.from_iterable(records), reasons=reasons, since_ms=since_ms)


def _described(rejected: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in rejected.items())
