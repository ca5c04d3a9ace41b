"""The next-item model of a checkpoint beside simple methods: the same recipe, learnt on what is before a time.

The checkpoint's own has learnt from everything, so it cannot be measured on any of it.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from model.evaluation.next_items.choice import BASELINES
from model.evaluation.next_items.compare import REPLICAS, Progress, compare_next_items
from model.evaluation.next_items.ours import NextItems
from model.evaluation.next_items.protocol import NextItemModel
from model.items.item import Item
from model.items.journeys import Journeys
from model.items.network import NextItemConfig
from model.training.next_items import NextItemSettings

OURS: Final = "cartcast"
_WITHOUT: Final = {
    "without_words": ("words", ("title", "description")),
    "without_attributes": ("category, brand and price", ("category", "brand", "price")),
    "without_vector": ("the shop's vector", ("vector",)),
}
"""Name, words, and the fields of an item that are hidden."""


def measure_next_items(  # noqa: PLR0913 - what is measured has no default
    journeys: Journeys,
    items: Sequence[Item],
    config: NextItemConfig,
    settings: NextItemSettings,
    split_ms: int,
    *,
    most_transitions: int,
    replicas: int = REPLICAS,
    baselines: bool = True,
    ablation: bool = False,
    further: Sequence[NextItemModel] = (),
    progress: Progress = lambda _share, _text: None,
) -> dict[str, Any]:
    """Learn before the split and measure after it; `items`, a catalogue, are the journeys' first and the candidates.

    Without a catalogue all items with an event before the split are candidates. `further` models are measured beside
    the simple ones. The ablation learns again without each
    kind of what the catalogue says. Differences are those of each model from ours. Raises EvaluationError if nothing
    can be measured.
    """
    less = variants(items, config, settings) if ablation else []
    found = compare_next_items(
        [NextItems(config, settings, items), *(BASELINES if baselines else ()), *further],
        journeys,
        split_ms,
        rival=OURS,
        variants=less,
        added_ms=np.array([item.added_at or 0 for item in items]) if items else None,
        most_transitions=most_transitions,
        replicas=replicas,
        seed=settings.seed,
        progress=progress,
    )
    return found | {"catalogue": bool(items), "variants": [model.name for model in less]}


def variants(items: Sequence[Item], config: NextItemConfig, settings: NextItemSettings) -> list[NextItems]:
    """Return the model without each kind of what the catalogue says of any item."""
    return [
        NextItems(
            msgspec.structs.replace(config, vector_size=0) if "vector" in fields else config,
            settings,
            [msgspec.structs.replace(item, **dict.fromkeys(fields)) for item in items],
            name=name,
            title=f"Cartcast without {words}",
            about=f"the same recipe, {words} of the catalogue hidden",
        )
        for name, (words, fields) in _WITHOUT.items()
        if _is_said(items, fields)
    ]


def _is_said(items: Sequence[Item], fields: Sequence[str]) -> bool:
    return any(getattr(item, field) is not None for item in items for field in fields)
