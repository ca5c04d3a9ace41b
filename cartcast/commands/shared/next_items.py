"""Learning which items come next, beside the propensities: for `cartcast train`."""

import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cartcast.commands.shared.progress import progress_bar
from service.errors import EvaluationError

if TYPE_CHECKING:
    from rich.table import Table

    from model.items.item import Item
    from model.items.ranker import ItemModel
    from model.shop import Shop

_SHOWN_BAD_ITEMS = 10


@dataclass(frozen=True, slots=True)
class NextItemOptions:
    """What the command was told."""

    catalogue: Path | None
    seed: int
    epochs: int = 3

    def items(self) -> "list[Item]":
        """Read the catalogue, saying which rows are none; nothing without one. Raises FormatError."""
        if self.catalogue is None:
            return []
        from model.items.feeds import read_items
        from model.items.item import Item

        items, bad = dict[str, Item](), 0
        for row in read_items(self.catalogue):
            if isinstance(row, Item):
                items[row.item_id] = row
            elif (bad := bad + 1) <= _SHOWN_BAD_ITEMS:
                print(f"bad row: {self.catalogue.name}, line {row.line}: {row.error}", file=sys.stderr)
        print(f"{len(items):,} items of {self.catalogue.name}, {bad:,} bad rows", file=sys.stderr)
        return list(items.values())


class NextItemLearning:
    """Reads along with a history, then learns, and says how well beside simple methods."""

    def __init__(self, options: NextItemOptions, shop: "Shop") -> None:
        from model.items.journeys import JourneyReader

        self._options, self._items = options, options.items()
        self.reader: JourneyReader = JourneyReader([item.item_id for item in self._items], shop=shop)

    def learn(self, test_from: str) -> "tuple[ItemModel, dict[str, Any]]":
        """Return a model of all journeys, and how the same recipe does on those from a time on; raises CartcastError.

        `test_from` is RFC 3339. Without a transition to measure on there are no metrics.
        """
        import numpy as np

        from model.evaluation.next_items.choice import BASELINES
        from model.evaluation.next_items.compare import compare_next_items
        from model.evaluation.next_items.ours import NextItems
        from model.items.network import NextItemConfig
        from model.training.next_items import NextItemSettings, describe, learn

        journeys = self.reader.journeys()
        columns = describe(journeys, self._items)
        config = NextItemConfig(vector_size=columns.dimension)
        settings = NextItemSettings(seed=self._options.seed, epochs=self._options.epochs)
        split_ms = int(datetime.fromisoformat(test_from).timestamp() * 1000)
        with progress_bar("next items", 1.0) as advance:
            try:
                ours = NextItems(config, settings, self._items)
                metrics = compare_next_items(
                    [ours, *BASELINES],
                    journeys,
                    split_ms,
                    rival="vsknn",
                    is_candidate=np.arange(len(columns)) < len(self._items) if self._items else None,
                    progress=lambda share, words: advance(0.6 * share, words),
                )
            except EvaluationError as failure:
                print(f"next items are not measured: {failure}", file=sys.stderr)
                metrics = {}
            model = learn(journeys, columns, config, settings, lambda share, words: advance(0.6 + 0.4 * share, words))
        return model, metrics


def next_items_table(metrics: dict[str, Any], goal: str) -> "Table":
    """Show how our own model and simple methods do at one goal, a line a method."""
    from rich import box
    from rich.table import Table

    found = metrics["goals"][goal]
    title = f"next {goal}, {found['transitions']:,} transitions, {metrics['items']:,} candidates"
    table = Table("", title=title, title_justify="left", box=box.SIMPLE)
    for name in ("recall@5", "recall@20", "MRR@20", "cold recall@20"):
        table.add_column(name, justify="right")
    cold = found["cold"]["metrics"] if found.get("cold") else {}
    for name, measured in found["all"]["metrics"].items():
        values = [measured[metric]["value"] for metric in ("recall_5", "recall_20", "mrr_20")]
        values.append(cold[name]["recall_20"]["value"] if name in cold else None)
        cells = ("-" if value is None else f"{value:.4f}" for value in values)
        table.add_row(found["models"][name]["title"], *cells)
    return table
