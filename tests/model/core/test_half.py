"""Half precision in bits, against numpy's float16."""

import numba
import numpy as np
import pytest

from model.core.half import from_half, to_half

ALL = np.arange(1 << 16, dtype=np.uint16)
FINITE = np.sort(ALL.view(np.float16)[np.isfinite(ALL.view(np.float16))]).astype(np.float32)


@numba.njit
def halves_of(numbers):
    halves = np.empty(len(numbers), np.uint16)
    for place in range(len(numbers)):
        halves[place] = to_half(numbers[place])
    return halves


@numba.njit
def numbers_of(halves):
    numbers = np.empty(len(halves), np.float32)
    for place in range(len(halves)):
        numbers[place] = from_half(halves[place])
    return numbers


def assert_numpys(numbers) -> None:
    with np.errstate(over="ignore"):
        expected = numbers.astype(np.float16)
    found = halves_of(numbers)
    is_nan = np.isnan(expected)
    np.testing.assert_array_equal(found[~is_nan], expected.view(np.uint16)[~is_nan])  # the sign of zero included
    assert np.isnan(found.view(np.float16)[is_nan]).all()


def test_every_half_is_the_number_it_is():
    numbers, expected = numbers_of(ALL), ALL.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(numbers, expected)
    np.testing.assert_array_equal(np.signbit(numbers), np.signbit(expected))


def test_every_half_comes_back():
    assert_numpys(numbers_of(ALL))


def test_a_number_between_two_halves_becomes_the_even_one_and_its_neighbours_the_nearest():
    between = ((FINITE[1:].astype(np.float64) + FINITE[:-1]) / 2).astype(np.float32)
    for numbers in (between, np.nextafter(between, np.float32(np.inf)), np.nextafter(between, np.float32(-np.inf))):
        assert_numpys(numbers)


@pytest.mark.parametrize("size", [1.0, 1e-5, 1e-8, 1e4, 1e30])
def test_random_numbers_of_any_size_become_the_nearest_half(size):
    assert_numpys((np.random.default_rng(3).normal(size=100_000) * size).astype(np.float32))


def test_any_bits_of_a_float_become_what_numpy_makes_of_them():
    bits = np.random.default_rng(4).integers(0, 1 << 32, 1_000_000, dtype=np.uint32)
    assert_numpys(bits.view(np.float32))


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, -1.2, 6e-8, 3e-5, 65519.0, 65520.0, -np.inf])
def test_the_uncompiled_functions_do_the_same(number):
    half = to_half.py_func(np.float32(number))
    assert half == halves_of(np.array([number], np.float32))[0]
    assert from_half.py_func(half) == numbers_of(np.array([half]))[0]
