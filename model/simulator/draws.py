"""Random draws for many shoppers at once."""

import numpy as np

from model.simulator.process import Floats, Integers


def draw_indices(distributions: Floats, random: np.random.Generator) -> Integers:
    """Draw an index from each row `(n, outcomes)`."""
    uniform = random.random(len(distributions))[:, None]
    drawn = (uniform > np.cumsum(distributions, axis=1)[:, :-1]).sum(axis=1)
    return np.asarray(drawn, np.int64)
