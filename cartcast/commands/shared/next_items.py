"""Learning which items come next, beside the propensities: for `cartcast train`."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cartcast.commands.shared.progress import Advance, progress_bar
from service.errors import EvaluationError

if TYPE_CHECKING:
    from rich.table import Table

    from model.items.item import Item
    from model.items.journeys import Journeys
    from model.items.network import NextItemConfig
    from model.shop import Shop
    from model.training.next_items import NextItemSettings
    from model.training.train import Trained

_SHOWN_BAD_ROWS: Final = 10
_MEASURED_TRANSITIONS: Final = 5000


class NextItemLearning:
    """Reads along with a history, then learns, and says how well beside simple methods."""

    def __init__(self, catalogue: Path | None, seed: int, shop: "Shop") -> None:
        """Begin with the items of a catalogue, if there is one; raises FormatError."""
        from model.items.journeys import JourneyReader

        self._seed, self._items = seed, [] if catalogue is None else _read(catalogue)
        self.reader = JourneyReader([item.item_id for item in self._items], shop=shop)

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
        import numpy as np

        from model.evaluation.next_items.choice import BASELINES
        from model.evaluation.next_items.compare import compare_next_items
        from model.evaluation.next_items.ours import NextItems

        try:
            found = compare_next_items(
                [NextItems(config, settings, self._items), *BASELINES],
                journeys,
                int(datetime.fromisoformat(test_from).timestamp() * 1000),
                rival="vsknn",
                most_transitions=_MEASURED_TRANSITIONS,
                is_candidate=np.arange(len(journeys.item_ids)) < len(self._items) if self._items else None,
                progress=lambda share, words: advance(0.6 * share, words),
            )
        except EvaluationError as failure:
            print(f"next items are learnt, but not measured: {failure}", file=sys.stderr)
            return {}
        return {"next_items": found}


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
    table.add_column("", no_wrap=True)
    for name in ("recall@5", "recall@20", "MRR@20", "cold recall@20"):
        table.add_column(name, justify="right")
    cold = found["cold"]["metrics"] if found.get("cold") else {}
    for name, measured in found["all"]["metrics"].items():
        values = [measured[metric]["value"] for metric in ("recall_5", "recall_20", "mrr_20")]
        values.append(cold[name]["recall_20"]["value"] if name in cold else None)
        cells = ("-" if value is None else f"{value:.4f}" for value in values)
        table.add_row(found["models"][name]["title"], *cells)
    return table
