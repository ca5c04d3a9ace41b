"""The shop of the demo: its items, and the model that recommends them."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

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

    def __init__(self, simulation: Simulation, producer: ItemProducer) -> None:
        """Take a producer that lives as long as events are drawn."""
        self._simulation = simulation
        self._producer = producer
        self._lines = simulation.catalogue_lines(MAX_EVENT_TIME_MS)
        self._next_line = next(self._lines)

    def open(self) -> None:
        """Send the items that are there from the start; raises RefusedError."""
        self._send_until(self._next_line.ts)
        self._producer.flush()

    def events(self) -> Iterator[Event]:
        """Yield what shoppers do, once."""
        return self._simulation.events()

    def with_items(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield `events`, having sent what changed of the items before each; raises RefusedError."""
        for event in events:
            self._send_until(event.ts)
            yield event

    def _send_until(self, time_ms: int) -> None:
        while self._next_line.ts <= time_ms:
            self._producer.put(item_of(self._next_line))
            self._next_line = next(self._lines)
