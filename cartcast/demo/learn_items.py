"""Learns what `cartcast demo` recommends with: `python -m cartcast.demo.learn_items` writes it beside this file.

It is small: few numbers an item, in half precision, and nothing of words and brands that the demo's shop does not have.
"""

from dataclasses import replace
from typing import Final

import torch

from cartcast.demo.shop import ITEM_MODEL, ITEMS, item_of
from model.items.files import to_bytes
from model.items.journeys import JourneyReader
from model.items.network import ItemInputs, NextItemConfig, NextItemNetwork
from model.simulator import Simulation, SimulationSettings
from model.training.next_items import NextItemSettings, describe, learn

SIMULATED: Final = SimulationSettings(events=100_000, users=2000, seed=17, items=ITEMS, with_tastes=True)
"""Other shoppers than the demo's."""
CONFIG: Final = NextItemConfig(dimension=16, vector_size=32, neighbours=20)


def main() -> None:
    """Simulate, learn, write."""
    simulation = Simulation(SIMULATED)
    events = list(simulation.events())
    items = {line.item_id: item_of(line) for line in simulation.catalogue_lines(max(event.ts for event in events))}
    reader = JourneyReader(items)
    for event in events:
        reader.append(event)
    journeys = reader.journeys()
    columns = describe(journeys, list(items.values()))
    learnt = learn(journeys, columns, CONFIG, NextItemSettings(seed=1), lambda *_: None)
    forget_unused(learnt.network, ItemInputs.of(columns, CONFIG.vector_size))
    ITEM_MODEL.write_bytes(to_bytes(replace(learnt, network=learnt.network.half())))


@torch.no_grad()
def forget_unused(network: NextItemNetwork, inputs: ItemInputs) -> None:
    """Empty the rows of tables that no item uses: they have learnt nothing, and zeros are stored small."""
    for name in ("levels", "categories", "brands", "pieces"):
        weight, used = getattr(network.known, name).weight, torch.unique(getattr(inputs, name))
        kept = torch.zeros_like(weight)
        kept[used] = weight[used]
        weight.copy_(kept)


if __name__ == "__main__":
    main()
