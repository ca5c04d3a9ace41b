"""Where an explanation comes from: the worker that has the shopper, or the shopper's rows in ClickHouse."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from model.batch import event_hash
from model.sequence import hexadecimal, shortened
from service.clickhouse_settings import ClickHouseSettings
from service.errors import CartcastError, LookUpError, UnavailableError
from service.worker_client import WorkerRefusedError, ask_explanation
from sinks.stored import LatestScores, StoredScore, latest_scores
from streams.lookups.answers import AsOf, ShopperExplanation

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint
    from model.explain import Explanation

RETRY_FOR_SECONDS: Final = 10.0
"""How long a worker that is busy, or whose partitions move, is asked again."""
_ROWS_FOR_ITEMS: Final = 100


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
    try:
        return ask_explanation(
            url, user_id, event_id, ShopperExplanation, token=token, retry_for_seconds=RETRY_FOR_SECONDS
        )
    except UnavailableError:
        return None
    except WorkerRefusedError as refused:
        raise LookUpError(_advice(url, refused)) from None


def _advice(url: str, refused: WorkerRefusedError) -> str:
    if refused.retry_seconds is not None:
        return f"the worker at {url} cannot explain it now ({refused.message}): try again later"
    match refused.code:
        case "unauthorized":
            return f"the worker at {url} asks for its token: set CARTCAST_WORKER__WEB_TOKEN to that of the workers"
        case "event_not_stored":
            return (
                "this event is not among the user's last 32: correct --event, or have it explained from ClickHouse's "
                "rows with --checkpoint DIR"
            )
        case "unknown_user":
            return f"the worker at {url} has accepted no event of this user: correct USER, or send events"
    return str(refused)


def items_of(settings: ClickHouseSettings, user_id: str) -> dict[str, str]:
    """Return the item ids of a shopper's latest events by event hash, as far as the table can say."""
    try:
        return _items(latest_scores(settings, user_id, limit=_ROWS_FOR_ITEMS).scores)
    except CartcastError:
        return {}


def explain_rows(
    settings: ClickHouseSettings, checkpoint_directory: Path | None, user_id: str, event_id: str | None
) -> Explained:
    """Explain from a shopper's rows in ClickHouse with a checkpoint, the one that ships if None.

    Raises CartcastError.
    """
    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint

    checkpoint = load_checkpoint(checkpoint_directory or DEFAULT_CHECKPOINT)
    latest = latest_scores(settings, user_id, until_event_id=event_id, shop=checkpoint.model.config.shop)
    where = f"database {settings.database} at {settings.url}"
    if not latest.scores:
        raise LookUpError(
            f"{where} has no score of this user"
            + (": correct USER" if event_id is None else " and event: correct them")
        )
    return Explained(_answer(checkpoint, user_id, latest), "clickhouse", where, _items(latest.scores))


def _answer(checkpoint: "Checkpoint", user_id: str, latest: LatestScores) -> ShopperExplanation:
    import numpy as np

    from streams.lookups.answering import explanation_answer

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
    import numpy as np
    import torch

    from model.batch import batch_of
    from model.core.append import Source
    from model.explain import Explainer
    from model.scoring import prepare_batch
    from model.sequence import own_of

    torch.set_num_threads(1)  # the steps are too small to share
    events = [score.event for score in scores]
    state = checkpoint.codec.blank(1)
    batch, users = batch_of(events, shop=checkpoint.model.config.shop), np.zeros(len(events), np.int64)
    prepare_batch(state, users, batch, Source(0, np.arange(len(events))))
    return Explainer(checkpoint).explain(state["sequence"], own=own_of(state))


def _items(scores: list[StoredScore]) -> dict[str, str]:
    return {
        hexadecimal(shortened(event_hash(one.event.event_id))): one.event.item_id for one in scores if one.event.item_id
    }
