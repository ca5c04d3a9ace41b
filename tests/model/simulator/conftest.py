import pytest

from model.simulator import SimulationSettings, simulate


@pytest.fixture(scope="session")
def simulated_settings():
    return SimulationSettings(events=150_000, users=3000, seed=5, with_truth=True)


@pytest.fixture(scope="session")
def simulated(simulated_settings):
    return list(simulate(simulated_settings))


@pytest.fixture(scope="session")
def distinct(simulated):
    return list({event.event_id: event for event in simulated}.values())
