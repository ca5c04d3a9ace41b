"""The short form of `make soak`: three seeds over real servers and processes."""

from collections.abc import Iterator

import pytest

from tests.soak.run import Soak

pytestmark = pytest.mark.integration

SEEDS = (114, 297, 1166)
FAULTS = 3


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    with Soak(tmp_path_factory.mktemp("soak")) as running:
        yield running


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_every_event_has_one_row_with_the_score_of_an_uninterrupted_run(soak: Soak, seed: int) -> None:
    outcome = soak.run(seed, FAULTS)
    assert outcome.problems == [], outcome
