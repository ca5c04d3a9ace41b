"""The shop of the demo: its items, and the model that recommends them."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import model
from model.events import MAX_EVENT_TIME_MS, Event
from model.items.item import Item
from model.simulator import Simulation
from model.simulator.feed import CatalogueLine
from streams.item_topic import ItemProducer

ITEMS: Final = 400
"""So few that everybody's next item is learnt from little (`cartcast.demo.learn_items`)."""
ITEM_MODEL: Final = Path(__file__).parent / "items.safetensors"
_SHIPPED: Final = Path(model.__file__).parent / "checkpoints" / "default"


def write_checkpoint(directory: Path) -> Path:
    """Write the checkpoint that ships, with the model that recommends the demo's items, and return where it is."""
    checkpoint = directory / "checkpoint"
    shutil.copytree(_SHIPPED, checkpoint, dirs_exist_ok=True)
    shutil.copy(ITEM_MODEL, checkpoint)
    return checkpoint


def item_of(line: CatalogueLine) -> Item:
    """Return an item as the shop describes it from a time on."""
    return Item(
        line.item_id,
        title=line.title,
        description=line.description,
        category=line.category,
        brand=line.brand,
        price=line.price,
        in_stock=line.in_stock,
        vector=line.vector,
        added_at=line.added_at,
    )


class DemoShop:
    """The simulated shop's events and, as its time passes, its items on their topic."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._lines = simulation.catalogue_lines(MAX_EVENT_TIME_MS)

    def events(self) -> Iterator[Event]:
        """Yield what shoppers do, once."""
        return self._simulation.events()

    def with_items(self, events: Iterable[Event], client_config: Mapping[str, Any], topic: str) -> Iterator[Event]:
        """Yield `events`, having sent what changed of the items before each; raises RefusedError."""
        next_line = next(self._lines)
        with ItemProducer(client_config, topic) as producer:
            for event in events:
                while next_line.ts <= event.ts:
                    producer.put(item_of(next_line))
                    next_line = next(self._lines)
                yield event
