"""`cartcast tail`: what arrives on a topic, as a person reads it."""

import json
from contextlib import closing
from typing import Annotated, Any, Final

import typer

from cartcast.commands.shared.options import EXIT_INTERRUPTED, BootstrapServers, TopicPrefix, given, settings_of

_TOPICS: Final = ("events", "scores", "dead-letters")


def _topic(name: str) -> str:
    if name not in _TOPICS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(_TOPICS)}")
    return name


def tail(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(metavar="TOPIC", parser=_topic, help=f"Which one: {', '.join(_TOPICS)}.")],
    count: Annotated[int, typer.Option("--count", "-n", min=0, max=10_000, help="So many of the last records.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then print what arrives, until Ctrl-C.")] = False,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: TopicPrefix = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each record as one JSON object.")] = False,
) -> None:
    """Print the last events, scores or dead letters, one a line, and with --follow those that arrive.

    They are the topics of this pipeline, read outside any consumer group. Lines show what shoppers did.

    Example: cartcast tail scores --follow
    """
    flags = given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    kafka = settings_of(context, kafka=flags).kafka
    from cartcast.commands.shared.records import event_line, letter_line, record_object, score_line
    from streams.tail import TopicTail

    name = {"events": kafka.topics.events, "scores": kafka.topics.scores}.get(topic, kafka.topics.dead_letters)
    in_words = {"events": event_line, "scores": score_line}.get(topic, letter_line)

    def print_record(message: Any) -> None:  # noqa: ANN401 - the client is not imported at this file's top
        print(json.dumps(record_object(message)) if as_json else in_words(message), flush=True)

    with closing(TopicTail(kafka.client_config(), name, count)) as records:
        try:
            for message in records.last():
                print_record(message)
            while follow:
                for message in records.arrived():
                    print_record(message)
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None
