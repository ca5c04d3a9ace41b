"""Simulated shoppers whose true propensities are known: test data, demonstration and yardstick (docs/simulator.md)."""

from model.simulator.shop import ItemOracle, SimulatedShop, simulated_shop
from model.simulator.stream import EventWithTruth, Simulation, SimulationSettings, simulate

__all__ = [
    "EventWithTruth",
    "ItemOracle",
    "SimulatedShop",
    "Simulation",
    "SimulationSettings",
    "simulate",
    "simulated_shop",
]
