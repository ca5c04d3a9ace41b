"""`cartcast explain`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cartcast.commands.shared.options import settings_of
from service.errors import CartcastError, LookUpError, UsageError

if TYPE_CHECKING:
    from cartcast.commands.shared.explanation_source import Explained
    from cartcast.settings import Settings
    from streams.settings import WorkerSettings

_DEFAULT_HORIZON = "24h"
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def explain(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="The shopper's id.", metavar="USER")],
    event: Annotated[
        str | None, typer.Option(help="Id of the event whose score is explained; default: the last one.")
    ] = None,
    horizon: Annotated[str | None, typer.Option(help="Whose propensity is explained; default: 24h.")] = None,
    url: Annotated[
        str | None, typer.Option(help="A worker's look-up API, http://HOST:PORT; any worker will do.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Explain ClickHouse's rows with this checkpoint instead of asking a worker.", metavar="DIRECTORY"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the explanation as one JSON object.")] = False,
) -> None:
    """Show which of a shopper's events moved the probability that they buy: each is left out in turn.

    Asks the worker that has the shopper. If no worker answers, the shopper's rows in ClickHouse are explained with the
    checkpoint of the settings; they lack the words that shoppers write.

    Example: cartcast explain user-17 --horizon session
    """
    _check("USER", user)
    if event is not None:
        _check("--event", event)
    settings = settings_of(context)
    user = settings.kafka.pseudonyms.of(user)
    explained = _explained(settings, user, event, url or _worker_url(settings.worker), checkpoint)
    chosen = _horizon(explained, horizon)
    if as_json:
        print(msgspec.json.encode(_as_object(explained)).decode())
    else:
        from rich.console import Console

        from cartcast.commands.shared.explanation_view import draw

        Console(highlight=False).print(draw(explained, chosen))


def _check(name: str, identifier: str) -> None:
    try:
        identifier.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} is not UTF-8: no event can have such an id") from None
    if not identifier:
        raise UsageError(f"{name} is empty: give an id")


def _worker_url(worker: "WorkerSettings") -> str | None:
    """Return where the settings say that a worker of this machine answers; None if it serves no look-ups."""
    from streams.settings import DEFAULT_WEB_PORT

    if worker.web_port == 0:
        return None
    host = worker.web_host or ("127.0.0.1" if worker.web_bind in _EVERYWHERE else worker.web_bind)
    return f"http://{f'[{host}]' if ':' in host else host}:{worker.web_port or DEFAULT_WEB_PORT}"


def _explained(
    settings: "Settings", user: str, event: str | None, url: str | None, checkpoint: Path | None
) -> "Explained":
    # It imports ClickHouse's client, which then sets the levels of loggers.
    from cartcast.commands.shared.explanation_source import Explained, ask_worker, explain_rows, items_of
    from service.log_settings import LogSettings
    from service.logging import configure_logging

    configure_logging(LogSettings(level="error"))  # libraries would tell what this command says in one line
    if checkpoint is not None:
        return explain_rows(settings.clickhouse, checkpoint, user, event)
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"--url {url} is no address of a worker: give http://HOST:PORT")
        token = settings.worker.web_token.get_secret_value()
        if (answer := ask_worker(url, user, event, token)) is not None:
            _check_pipeline(url, answer.as_of.topic, settings.kafka.topics.events)
            return Explained(answer, "worker", url, items_of(settings.clickhouse, user))
    missing = "the settings turn look-ups off" if url is None else f"no worker answers at {url}"
    try:
        explained = explain_rows(settings.clickhouse, settings.worker.checkpoint, user, event)
    except CartcastError as failure:
        raise LookUpError(f"{missing}, and {failure}") from None
    print(f"{missing}: explained from {explained.where}, which lacks words", file=sys.stderr)
    return explained


def _check_pipeline(url: str, topic: str, events_topic: str) -> None:
    if topic != events_topic:
        raise LookUpError(
            f"the worker at {url} is another pipeline's: it scores {topic}, not {events_topic}; correct --url, or "
            "CARTCAST_KAFKA__TOPIC_PREFIX"
        )


def _horizon(explained: "Explained", asked: str | None) -> str:
    horizons = list(explained.answer.from_ring)
    if asked is not None and asked not in horizons:
        raise UsageError(f"--horizon {asked}: the model has {', '.join(horizons)}")
    return asked or (_DEFAULT_HORIZON if _DEFAULT_HORIZON in horizons else horizons[-1])


def _as_object(explained: "Explained") -> dict[str, object]:
    """Return the API's object with the items that are known, and who explained it."""
    answer: dict[str, object] = msgspec.to_builtins(explained.answer)
    events = [
        {**msgspec.to_builtins(event), "item_id": explained.items.get(event.event_hash)}
        for event in explained.answer.events
    ]
    return {**answer, "events": events, "source": explained.source, "where": explained.where}
