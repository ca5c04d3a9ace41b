"""What an uninterrupted process that reads files makes of the records that lie on the events topic."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from model.inference import Scorer
from model.offline import OfflineScoring
from model.scoring import finish_rebuild, rebuild_request
from model.states import StateCodec
from tests.harness.pipeline import Coordinates
from tests.soak.history import Sent


class Oracle:
    """Scores with the checkpoints that workers run."""

    def __init__(self, *others: Path) -> None:
        """Know the checkpoint that ships, and `others`."""
        self._checkpoints = {each.version: each for each in map(load_checkpoint, (DEFAULT_CHECKPOINT, *others))}

    def accepted(self, sent: Iterable[Sent]) -> "Accepted":
        """Return the events among records of all partitions that are new: the first of each shopper and id there."""
        accepted = Accepted()
        for record in sorted(sent, key=lambda each: (each.partition, each.offset)):
            if record.event is None:
                continue
            known = accepted.known.setdefault(record.partition, set())
            identity = (record.event.user_id, record.event.event_id)
            accepted.records[record.partition, record.offset] = record
            if identity in known:
                accepted.repeats.add((record.partition, record.offset))
            known.add(identity)
        return accepted

    def scores(self, accepted: "Accepted", models: Mapping[Coordinates, str]) -> dict[Coordinates, np.ndarray]:
        """Return each accepted event's propensities; `models` names the checkpoint that scored it."""
        found: dict[Coordinates, np.ndarray] = {}
        for partition, group in groupby(accepted.records, key=lambda coordinates: coordinates[0]):
            scoring: OfflineScoring | None = None
            for model, run in groupby(group, key=lambda each: accepted.model_of(each, models)):
                scoring = self._continued(scoring, model)
                coordinates, first = list(run), scoring.counts.rows
                for part in scoring.score([accepted.records[each].event for each in coordinates]):
                    for row, numbers in zip(part.rows, part.propensities, strict=True):
                        found[partition, coordinates[row - first][1]] = numbers
        return found

    def _continued(self, before: OfflineScoring | None, model: str) -> OfflineScoring:
        """Return scoring with another checkpoint that goes on with the states so far."""
        checkpoint = self._checkpoints[model]
        codec = StateCodec(checkpoint.model.config.carried_floats, checkpoint.code)
        scorer = Scorer(checkpoint, torch.device("cpu"))
        scoring = OfflineScoring(scorer, codec)
        if before is not None:
            scoring.counts = before.counts  # a state knows the last row that was applied to it
            states = codec.gather(list(before._states.values()))
            if (rebuild := rebuild_request(codec, states)) is not None:
                finish_rebuild(states, rebuild, scorer.score(rebuild))
            scoring._states = dict(zip(before._states, codec.scatter(states), strict=True))
        return scoring


@dataclass
class Accepted:
    """Events and repeats of events by source partition and offset, in this order."""

    records: dict[Coordinates, Sent] = field(default_factory=dict)
    repeats: set[Coordinates] = field(default_factory=set)
    known: dict[int, set[tuple[str, str]]] = field(default_factory=dict)
    _model: str = ""

    @property
    def new(self) -> set[Coordinates]:
        """The events that have one row each."""
        return self.records.keys() - self.repeats

    def model_of(self, coordinates: Coordinates, models: Mapping[Coordinates, str]) -> str:
        """Return the model that scored an event; of a repeat, the one that scored the event before."""
        self._model = models.get(coordinates) or self._model or next(iter(models.values()))
        return self._model
