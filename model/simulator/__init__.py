"""Simulated shoppers whose true propensities are known: test data, demonstration and yardstick (docs/simulator.md)."""

from model.simulator.stream import EventWithTruth, SimulationSettings, simulate

__all__ = ["EventWithTruth", "SimulationSettings", "simulate"]
