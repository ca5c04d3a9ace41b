"""Which items come next, beside the propensities: learning it for `cartcast train`, measuring it for `evaluate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cartcast.commands.shared.progress import Advance, progress_bar
from model.events import parse_time_ms
from service.errors import EvaluationError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from model.checkpoint import Checkpoint
    from model.evaluation.evaluate import EvaluationSettings
    from model.items.item import Item
    from model.items.journeys import JourneyReader, Journeys
    from model.items.network import NextItemConfig
    from model.shop import Shop
    from model.training.next_items import NextItemSettings
    from model.training.train import Trained

_SHOWN_BAD_ROWS: Final = 10
_TITLE_WIDTH: Final = 34
"""Of the longest baseline's; what is ours less something may take two lines."""
_FEW_IN_CATALOGUE: Final = 0.5
"""If fewer of the events have items of the catalogue, it may be that of another time, or write ids in another way."""
_MEASURED_IN_TRAINING: Final = 5000
_MEASURED_IN_EVALUATION: Final = 20_000
"""Transitions of each goal."""


class NextItemLearning:
    """Reads along with a history, then learns, and says how well beside simple methods."""

    def __init__(self, catalogue: Path | None, seed: int, shop: "Shop") -> None:
        """Begin with the items of a catalogue, if there is one; raises FormatError."""
        from model.items.journeys import JourneyReader

        self._seed, self._items = seed, [] if catalogue is None else _read(catalogue)
        self.reader = JourneyReader([item.item_id for item in self._items], shop=shop)

    def check_catalogue(self) -> None:
        """Say on stderr if few events have items of the catalogue; raises EvaluationError if none has."""
        if note := _catalogue_note(self.reader):
            print(note, file=sys.stderr)

    def learnt(self, trained: "Trained") -> dict[str, Any]:
        """Return what comes to a training: a model of all journeys, and how the same recipe does on the test part."""
        from model.items.network import NextItemConfig
        from model.training.next_items import NextItemSettings, describe, learn

        journeys = self.reader.journeys()
        columns = describe(journeys, self._items)
        config, settings = NextItemConfig(vector_size=columns.dimension), NextItemSettings(seed=self._seed)
        with progress_bar("next items", 1.0) as advance:
            metrics = self._measured(journeys, config, settings, trained.training["test_from"], advance)
            items = learn(journeys, columns, config, settings, lambda share, words: advance(0.6 + 0.4 * share, words))
        return {"items": items, "metrics": trained.metrics | metrics}

    def _measured(
        self,
        journeys: "Journeys",
        config: "NextItemConfig",
        settings: "NextItemSettings",
        test_from: str,
        advance: Advance,
    ) -> dict[str, Any]:
        from model.evaluation.next_items.recipe import measure_next_items

        try:
            found = measure_next_items(
                journeys,
                self._items,
                config,
                settings,
                parse_time_ms(test_from),
                most_transitions=_MEASURED_IN_TRAINING,
                progress=lambda share, words: advance(0.6 * share, words),
            )
        except EvaluationError as failure:
            print(f"next items are learnt, but not measured: {failure}", file=sys.stderr)
            return {}
        return {"next_items": found}


class NextItemEvaluation:
    """Reads along with a history, then says how well a checkpoint's recipe finds next items."""

    def __init__(
        self, catalogue: Path | None, checkpoint: "Checkpoint", settings: "EvaluationSettings", *, gru4rec: bool
    ) -> None:
        """Begin with the items of a catalogue, if there is one; raises FormatError and UsageError."""
        from model.evaluation.next_items.gru4rec import EXTRA, GRU4Rec, is_installed
        from model.items.journeys import JourneyReader

        if checkpoint.items is None:
            option = "--items" if catalogue is not None else "--gru4rec"
            raise UsageError(f"{option} goes with a checkpoint that recommends: train one with --next-items")
        if gru4rec and not is_installed():
            raise UsageError(f"--gru4rec needs Cornac: install Cartcast with the extra `{EXTRA}`")
        self._further = [GRU4Rec(settings.seed)] if gru4rec else []
        self._learnt, self._settings, self._items = (
            checkpoint.items,
            settings,
            [] if catalogue is None else _read(catalogue),
        )
        size = next((len(item.vector) for item in self._items if item.vector is not None), 0)
        if size not in {0, self._learnt.config.vector_size}:
            raise UsageError(
                f"the catalogue's vectors have {size} numbers, those that the checkpoint has learnt from "
                f"{self._learnt.config.vector_size}: give the catalogue of its training"
            )
        self.reader = JourneyReader([item.item_id for item in self._items], shop=checkpoint.model.config.shop)

    def added_to(self, report: dict[str, Any]) -> None:
        """Measure on the evaluated time of a report, and put into it what was found, or a note why nothing was."""
        from model.evaluation.next_items.recipe import measure_next_items
        from model.training.next_items import NextItemSettings

        settings = self._settings
        if not self._items and self._learnt.columns.pieces.any():
            report["notes"].append("The model that recommends has learnt with a catalogue: give it, too, with --items.")
        with progress_bar("next items", 1.0) as advance:
            try:
                report["notes"] += filter(None, [_catalogue_note(self.reader)])
                report["next_items"] = measure_next_items(
                    self.reader.journeys(),
                    self._items,
                    self._learnt.config,
                    NextItemSettings(seed=settings.seed),
                    parse_time_ms(report["data"]["evaluated_from"]),
                    most_transitions=_MEASURED_IN_EVALUATION,
                    replicas=settings.replicas,
                    baselines=settings.baselines,
                    ablation=settings.baselines,
                    further=self._further,
                    progress=advance,
                )
            except EvaluationError as failure:
                report["notes"].append(f"Next items are not measured: {failure}.")


def _catalogue_note(reader: "JourneyReader") -> str | None:
    """Return a sentence if few of the events have items of the catalogue; raises EvaluationError if none has."""
    share = reader.catalogue_share()
    if not share:
        raise EvaluationError(
            "no item of the events is in the catalogue: give one whose ids are written as in the events"
        )
    if share >= _FEW_IN_CATALOGUE:
        return None
    return (
        f"Of the events with an item, {share:.1%} have one that is in the catalogue: the other items are known by "
        "their ids alone, and are no candidates when next items are measured."
    )


def _read(catalogue: Path) -> "list[Item]":
    """Read a catalogue, and say which rows are no items; of an id that is there twice the last one counts."""
    from model.items.feeds import read_items
    from model.items.item import Item

    items, bad = dict[str, Item](), 0
    for row in read_items(catalogue):
        if isinstance(row, Item):
            items[row.item_id] = row
        elif (bad := bad + 1) <= _SHOWN_BAD_ROWS:
            print(f"bad row: {catalogue.name}, line {row.line}: {row.error}", file=sys.stderr)
    print(f"{len(items):,} items, {bad:,} bad rows", file=sys.stderr)
    return list(items.values())


def next_items_table(metrics: dict[str, Any], goal: str) -> "Table":
    """Show how our own model and simple methods do at one goal, a line a method."""
    from rich import box
    from rich.table import Table

    found = metrics["goals"][goal]
    title = f"next {goal}, {found['transitions']:,} transitions, {metrics['items']:,} candidates"
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("", min_width=_TITLE_WIDTH)
    for name in ("recall@5", "recall@20", "MRR@20", "cold\nrecall@20"):
        table.add_column(name, justify="right", no_wrap=True)
    cold = found["cold"]["metrics"] if found.get("cold") else {}
    for name, measured in found["all"]["metrics"].items():
        values = [measured[metric]["value"] for metric in ("recall_5", "recall_20", "mrr_20")]
        values.append(cold[name]["recall_20"]["value"] if name in cold else None)
        cells = ("-" if value is None else f"{value:.4f}" for value in values)
        table.add_row(found["models"][name]["title"], *cells)
    return table
