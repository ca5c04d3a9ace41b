import numpy as np

from model.core.item_logits import log1p


def test_the_logarithm_is_numpys_for_small_and_large_numbers():
    numbers = np.concatenate((np.linspace(0, 3, 20_001), np.logspace(-8, 8, 20_001))).astype(np.float32)
    found = np.array([log1p(number) for number in numbers])
    np.testing.assert_allclose(found, np.log1p(numbers.astype(np.float64)), rtol=3e-7, atol=2e-7)
