"""What a recommendation costs: the best of all items, and the events that moved them.

The cost is CPU time of one thread, by the number of items. `make bench ARGS="--only recommendations"`.
"""

import time
from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from benchmarks.results import Recommendation
from model.core.rank_items import Pins, Shelf, Wanted, quantize
from model.events import EVENT_TYPES
from model.items.columns import columns_of
from model.items.contexts import PLACES, Contexts
from model.items.network import GOALS, NextItemConfig, NextItemNetwork
from model.items.ranker import ItemModel, ItemRanker, Vectors
from model.items.transitions import KINDS, Neighbours

ITEMS: Final = (5_000, 50_000, 200_000)
CATEGORIES: Final = 300
LISTED: Final = 20
GOAL: Final = "view"
QUERIES: Final = 200


def run_recommendations(queries: int = QUERIES) -> list[Recommendation]:
    """Measure shops of several sizes, for shoppers with as many events as a state holds."""
    return [_measured(items, queries) for items in ITEMS]


def _measured(items: int, queries: int) -> Recommendation:
    random = np.random.default_rng(1)
    vectors: Vectors = random.standard_normal((items, NextItemConfig().dimension)).astype(np.float32)
    categories = random.integers(1, CATEGORIES, items).astype(np.uint16)
    shelf = Shelf(vectors, *quantize(vectors), categories)
    ranker = ItemRanker(_model(items, random))
    nothing = np.empty(0, np.int64)
    hides = np.zeros(len(EVENT_TYPES), np.bool_)
    wanted = Wanted(np.ones(items, np.bool_), hides, np.empty(0, np.float32), 0, Pins(nothing, nothing))
    contexts = [_context(items, random) for _ in range(queries)]
    cpu_ms = _median_ms(lambda context: ranker.rank(GOAL, context, shelf, wanted, LISTED), contexts)
    return Recommendation(items=items, listed=LISTED, events=PLACES, cpu_ms=cpu_ms)


def _median_ms(work: Callable[[Contexts], object], contexts: list[Contexts]) -> float:
    work(contexts[0])  # compiles
    spent = []
    for context in contexts:
        began = time.thread_time()
        work(context)
        spent.append(time.thread_time() - began)
    return float(np.median(spent)) * 1000


def _model(items: int, random: np.random.Generator) -> ItemModel:
    torch.manual_seed(1)
    config = NextItemConfig()
    return ItemModel(
        network=NextItemNetwork(config, items).eval(),
        neighbours={kind: neighbours_of(items, config.neighbours, random) for kind in KINDS},
        columns=columns_of([]),  # only vectors are made from them
        item_ids=(),
        counts=random.integers(0, 100, (1 + len(GOALS), items)),
        exposures=np.ones(items + 1),
    )


def neighbours_of(items: int, most: int, random: np.random.Generator) -> Neighbours:
    """As many neighbours of each item as are kept at most."""
    count = items * most
    return Neighbours(
        np.arange(items + 1) * most,
        random.integers(0, items, count).astype(np.int32),
        random.random(count, np.float32),
    )


def _context(items: int, random: np.random.Generator) -> Contexts:
    shape = (1, PLACES)
    return Contexts(
        random.integers(0, items, shape).astype(np.int32),
        random.integers(0, len(EVENT_TYPES), shape).astype(np.uint8),
        np.sort(random.random(shape, np.float32) * 10, axis=1),
        np.arange(PLACES)[None, :] < PLACES // 2,
    )
