"""Where an explanation comes from: the worker that has the shopper, or the shopper's rows in ClickHouse."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from cartcast.errors import LookUpError
from model.batch import event_hash
from sinks.errors import SinkError
from sinks.settings import ClickHouseSettings
from sinks.shopper import LatestScores, StoredScore, latest_scores
from streams.lookups.answers import AsOf, Refusal, ShopperExplanation

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint
    from model.explain import Explanation

TIMEOUT_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 10.0
"""How long a worker that asks for patience gets it."""
_DEFAULT_RETRY_SECONDS: Final = 1.0
_MAX_ANSWER_BYTES: Final = 1_000_000
_ROWS_FOR_ITEMS: Final = 100

_direct: Final = build_opener(ProxyHandler({}))
"""A proxy that the machine's environment names for the web is not for the worker."""


@dataclass(frozen=True)
class Explained:
    """An explanation, who gave it, and what the table knows of the items."""

    answer: ShopperExplanation
    source: str
    """`worker` or `clickhouse`"""
    where: str
    items: Mapping[str, str] = field(default_factory=dict)
    """Item id by event hash; events without an item, or not in the table, are missing."""


def ask_worker(url: str, user_id: str, event_id: str | None, token: str = "") -> ShopperExplanation | None:
    """Return the explanation of a worker that may want a token, None if nobody answers there.

    Raises LookUpError if the worker knows neither shopper nor event, or cannot say now.
    """
    query = "" if event_id is None else f"?event_id={quote(event_id, safe='')}"
    address = f"{url.rstrip('/')}/v1/users/{quote(user_id, safe='')}/explanation{query}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with _direct.open(_request(address, token), timeout=TIMEOUT_SECONDS) as answer:
                return msgspec.json.decode(answer.read(_MAX_ANSWER_BYTES), type=ShopperExplanation)
        except HTTPError as refused:
            problem = _problem(url, refused)
            if problem is not None or time.monotonic() > deadline:
                raise problem or LookUpError(f"the worker at {url} asks for patience: try again later") from None
            time.sleep(_retry_seconds(refused))
        except OSError:  # URLError is one
            return None
        except (msgspec.MsgspecError, HTTPException, ValueError):
            raise _no_worker(url) from None


def _request(address: str, token: str) -> Request:
    request = Request(address)  # noqa: S310 - the scheme was checked
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request


def _problem(url: str, refused: HTTPError) -> LookUpError | None:
    """Return what a refusal means to a user, None if asking again will help."""
    try:
        with refused:
            said = msgspec.json.decode(refused.read(_MAX_ANSWER_BYTES), type=Refusal).error
    except (msgspec.MsgspecError, OSError):
        return _no_worker(url)
    if refused.code == 503:
        return None
    if said.code == "unauthorized":
        return LookUpError(
            f"the worker at {url} asks for its token: set CARTCAST_WORKER__WEB_TOKEN to that of the workers"
        )
    if said.code == "event_not_stored":
        return LookUpError(
            "this event is not among the user's last 32: correct --event, or have it explained from ClickHouse's rows "
            "with --checkpoint DIR"
        )
    if said.code == "unknown_user":
        return LookUpError(f"the worker at {url} has accepted no event of this user: correct USER, or send events")
    return LookUpError(f"the worker at {url} does not explain it: {said.message}")


def _no_worker(url: str) -> LookUpError:
    return LookUpError(f"what answers at {url} is no worker of this version: correct --url")


def _retry_seconds(refused: HTTPError) -> float:
    try:
        return min(float(refused.headers.get("Retry-After", "")), PATIENCE_SECONDS)
    except ValueError:
        return _DEFAULT_RETRY_SECONDS


def items_of(settings: ClickHouseSettings, user_id: str) -> dict[str, str]:
    """Return the item ids of a shopper's latest events by event hash, as far as the table can say."""
    try:
        return _items(latest_scores(settings, user_id, limit=_ROWS_FOR_ITEMS).scores)
    except SinkError:
        return {}


def explain_rows(
    settings: ClickHouseSettings, checkpoint_directory: Path | None, user_id: str, event_id: str | None
) -> Explained:
    """Explain from a shopper's rows in ClickHouse with a checkpoint, the one that ships if None.

    Raises LookUpError, SinkError or CheckpointError.
    """
    latest = latest_scores(settings, user_id, until_event_id=event_id)
    where = f"database {settings.database} at {settings.url}"
    if not latest.scores:
        raise LookUpError(
            f"{where} has no score of this user"
            + (": correct USER" if event_id is None else " and event: correct them")
        )
    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint  # noqa: PLC0415 - imports torch

    checkpoint = load_checkpoint(checkpoint_directory or DEFAULT_CHECKPOINT)
    return Explained(_answer(checkpoint, user_id, latest), "clickhouse", where, _items(latest.scores))


def _answer(checkpoint: "Checkpoint", user_id: str, latest: LatestScores) -> ShopperExplanation:
    import numpy as np  # noqa: PLC0415 - slow to import, as the next one is

    from streams.lookups.answering import explanation_answer  # noqa: PLC0415

    explanation, last = _explanation(checkpoint, latest.scores), latest.scores[-1]
    horizons = checkpoint.model.config.horizons
    is_known = last.model == checkpoint.version and set(horizons) <= set(last.propensities)
    answer = explanation_answer(
        user_id,
        explanation,
        np.array([last.propensities[horizon] for horizon in horizons]) if is_known else None,
        horizons,
        model=checkpoint.version,
        as_of=AsOf(last.source_topic, last.source_partition, last.source_offset),
    )
    return msgspec.structs.replace(answer, earlier_events=latest.count - len(explanation.events))


def _explanation(checkpoint: "Checkpoint", scores: list[StoredScore]) -> "Explanation":
    """Append the rows' events to a fresh state, as the worker did, and explain what comes out."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    from model.append import Source, append_events  # noqa: PLC0415
    from model.batch import batch_of  # noqa: PLC0415
    from model.explain import Explainer  # noqa: PLC0415
    from model.sequence import new_sequences  # noqa: PLC0415

    torch.set_num_threads(1)  # the steps are too small to share
    sequence, events = new_sequences(1), [score.event for score in scores]
    append_events(sequence, np.zeros(len(events), np.int64), batch_of(events), Source(0, np.arange(len(events))))
    return Explainer(checkpoint).explain(sequence)


def _items(scores: list[StoredScore]) -> dict[str, str]:
    return {f"{event_hash(one.event.event_id):016x}": one.event.item_id for one in scores if one.event.item_id}
