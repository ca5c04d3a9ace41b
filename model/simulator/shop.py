"""A simulated shop as a whole: its events, its catalogue, and who knows what each shopper views next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model.events import Event
from model.simulator.feed import CatalogueLine
from model.simulator.next_view import NextView
from model.simulator.stream import Simulation, SimulationSettings


class ItemOracle:
    """Knows the process and the shoppers as they are right after each event (`model.simulator.next_view`)."""

    def __init__(self, simulation: Simulation) -> None:
        """Make one for a simulation with tastes that keeps what is hidden; raises ValueError without tastes."""
        if simulation.tastes is None:
            raise ValueError("only shoppers with tastes have a next view to know")
        self.tastes, self._simulation = simulation.tastes, simulation
        self._next_view = NextView(self.tastes)
        self.item_ids = simulation.catalogue.item_ids

    def probabilities(self, events: Sequence[Event]) -> npt.NDArray[np.float32]:
        """Return P(item is the next that is viewed | one is viewed on this visit) after events `(events, items)`."""
        return self._next_view.probabilities(self.hidden(events), np.array([event.ts for event in events]))

    def hidden(self, events: Sequence[Event]) -> npt.NDArray[np.void]:
        """Return what the oracle sees of the shoppers right after events `(events,)` of `hidden_dtype`."""
        return self._simulation.hidden(events)


@dataclass(frozen=True, slots=True)
class SimulatedShop:
    """What happened in a shop, in order of arrival."""

    events: list[Event]
    items: list[CatalogueLine]
    oracle: ItemOracle


def simulated_shop(settings: SimulationSettings) -> SimulatedShop:
    """Simulate shoppers with tastes, whatever the settings say of them; `settings.events` must be a number."""
    simulation = Simulation(replace(settings, with_tastes=True), keeps_hidden=True)
    oracle = ItemOracle(simulation)
    events = list(simulation.events())
    return SimulatedShop(events, list(simulation.catalogue_lines(max(event.ts for event in events))), oracle)
