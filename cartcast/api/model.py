"""Models: loading, scoring, explaining and training them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import torch

from cartcast.api.events import events_of
from cartcast.api.frames import as_given
from cartcast.commands.shared.score_file import score_schema, score_table
from model.batch import batch_of, event_hash
from model.checkpoint import DEFAULT_CHECKPOINT, Checkpoint, load_checkpoint
from model.consent import DEFAULT_CONSENT
from model.core.append import Source
from model.events import IMPRESSION, Event
from model.explain import Explainer, place_of
from model.inference import Scorer, select_device
from model.offline import OfflineScoring
from model.scoring import prepare_batch
from model.sequence import hexadecimal, own_of, shortened
from service.errors import LookUpError, UsageError

DEFAULT_HORIZONS: Final = ("session", "1h", "24h")


@dataclass(frozen=True)
class Model:
    """A checkpoint, ready to score and to explain."""

    checkpoint: Checkpoint

    @property
    def version(self) -> str:
        return self.checkpoint.version

    @property
    def horizons(self) -> tuple[str, ...]:
        """The names of what is predicted: horizons such as `session` and `24h`, and a shop's own goals."""
        return self.checkpoint.model.config.horizons

    @property
    def metrics(self) -> dict[str, Any]:
        """How good it was in training, as in the checkpoint's metrics.json."""
        return self.checkpoint.metrics

    def score(self, events: Any, *, device: str = "auto") -> Any:  # noqa: ANN401 - any history, and a frame of its library
        """Score a history as the worker would have, a row an accepted event, in the order of the input.

        Columns: row (number of the event's row in the input from 0, bad rows included), user_id, event_id, event_time
        (epoch milliseconds), `propensity_<horizon>` for each horizon, and what extra heads say. The frame is of the
        library of the one that was given, else an Arrow table. Duplicates and late events have no score.
        """
        history = events_of(events)
        scorer = Scorer(self.checkpoint, select_device(device))
        names, levels = self.checkpoint.head_names, self.checkpoint.levels
        scoring = OfflineScoring(scorer, self.checkpoint.codec, head_names=names, levels=levels)
        schema = score_schema(self.horizons, scoring.extra_fields)
        rows = DEFAULT_CONSENT.allowed(history.rows(self._shop))
        tables = [score_table(schema, scored) for scored in scoring.score(rows)]
        return as_given(pa.concat_tables(tables) if tables else schema.empty_table(), history.given)

    def explain(self, events: Any, user_id: str, *, event_id: str | None = None) -> Any:  # noqa: ANN401 - as above
        """Say which of a shopper's last 32 events moved the propensities after one of them, the last if none is named.

        Returns a row an event, in their order, the explained one last: event_id, event_time, type, item_id, and
        `contribution_<horizon>`: how much higher the propensity is than without the event, each left out in turn.
        Raises LookUpError for a shopper without events, and an event that is not among the last 32.
        """
        history = events_of(events)
        events_of_all = (row for row in DEFAULT_CONSENT.allowed(history.rows(self._shop)) if isinstance(row, Event))
        own = [event for event in events_of_all if event.user_id == user_id and event.type != IMPRESSION]
        if not own:
            raise LookUpError(f"the history has no event of shopper {user_id}")
        state = self.checkpoint.codec.blank(1)
        batch, users = batch_of(own, shop=self._shop), np.zeros(len(own), np.int64)
        prepare_batch(state, users, batch, Source(0, np.arange(len(own))))
        place = -1 if event_id is None else place_of(state["sequence"], event_hash(event_id))
        if place is None:
            raise LookUpError(f"event {event_id} is not among the last 32 of shopper {user_id}")
        explanation = Explainer(self.checkpoint).explain(state["sequence"], place, own_of(state))
        known = {hexadecimal(shortened(event_hash(event.event_id))): event for event in own}
        shown = [known[hexadecimal(code)] for code in explanation.events["id_hash"]]
        columns = {
            "event_id": pa.array([event.event_id for event in shown], pa.string()),
            "event_time": pa.array([event.ts for event in shown], pa.timestamp("ms", "UTC")),
            "type": pa.array([event.type for event in shown], pa.string()),
            "item_id": pa.array([event.item_id for event in shown], pa.string()),
        }
        for place, horizon in enumerate(self.horizons):
            columns[f"contribution_{horizon}"] = pa.array(explanation.contributions[:, place], from_pandas=True)
        return as_given(pa.table(columns), history.given)

    @property
    def _shop(self) -> Any:  # noqa: ANN401
        return self.checkpoint.model.config.shop


def load(checkpoint: str | os.PathLike[str] | None = None) -> Model:
    """Load a checkpoint directory that `train` wrote, or the model that ships; raises CheckpointError."""
    torch.set_num_threads(1)  # the steps are too small to share
    return Model(load_checkpoint(DEFAULT_CHECKPOINT if checkpoint is None else Path(checkpoint)))


def train(  # noqa: PLR0913 - the settings of a training
    events: Any,  # noqa: ANN401 - any history
    out: str | os.PathLike[str],
    *,
    horizons: Sequence[str] = DEFAULT_HORIZONS,
    shop: str | os.PathLike[str] | None = None,
    heads: Sequence[str] = (),
    seed: int = 1,
    epochs: int = 12,
    from_scratch: bool = False,
    device: str = "auto",
    threads: int = 1,
) -> Model:
    """Train on a history and write a checkpoint directory, as `cartcast train` does with the same settings.

    `metrics["chain"]` of the result says how the recipe did on later days and new shoppers, `metrics["verdicts"]`
    whether that is better than a linear model. Raises TrainingError if the history is too short, UsageError for
    settings that make no sense or a directory that is no checkpoint.
    """
    from cartcast.commands.shared.options import head_names, horizon_names  # noqa: PLC0415 - loads typer
    from cartcast.commands.shared.shop_file import read_shop  # noqa: PLC0415
    from model.lstm import LSTMConfig  # noqa: PLC0415 - only training needs these
    from model.training.fitting import TrainingSettings  # noqa: PLC0415
    from model.training.history import read_history  # noqa: PLC0415
    from model.training.train import train as fit  # noqa: PLC0415

    directory, history = Path(out), events_of(events)
    if directory.exists() and not (directory / "checkpoint.json").is_file():
        raise UsageError(f"{directory} exists and is no checkpoint: name another directory")
    own = history.shop if shop is None else read_shop(Path(shop))
    names = (*horizon_names(",".join(horizons)), *own.goals)
    torch.set_num_threads(threads)
    arrived = read_history(DEFAULT_CONSENT.allowed(history.rows(own)), shop=own)
    arrived.require_order()
    trained = fit(
        arrived,
        TrainingSettings(seed=seed, epochs=epochs, threads=threads),
        LSTMConfig(horizons=names, heads=head_names(heads), shop=own),
        lambda *_: None,
        start=None if from_scratch else load_checkpoint(DEFAULT_CHECKPOINT).model,
        device=select_device(device),
    )
    try:
        trained.save(directory)
    except OSError as failure:
        why = (failure.strerror or str(failure)).lower()
        raise UsageError(f"no checkpoint can be written to {directory}: {why}") from None
    return load(directory)
