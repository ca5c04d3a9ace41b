import gc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.training.storage import Storage
from service.errors import TrainingError


def open_files():
    return len(list(Path("/dev/fd").iterdir()))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 4)), max_size=20), st.integers(0, 4000))
def test_what_is_kept_comes_back_wherever_it_lies(shapes, limit_bytes):
    storage = Storage(limit_bytes)
    arrays = [np.random.default_rng(number).normal(size=shape) for number, shape in enumerate(shapes)]
    kept = [storage.keep(array) for array in arrays]
    storage.used(2**40)
    for array, found in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(found, array)


def test_arrays_beyond_the_limit_are_on_disk_and_stay_right_when_their_pages_are_given_back():
    storage = Storage(1000)
    assert storage.empty((1000,), np.uint8).sum() >= 0
    assert storage.on_disk_bytes == 0
    large = storage.empty((3_000_000,), np.int64)
    assert storage.on_disk_bytes >= large.nbytes
    large[:] = np.arange(3_000_000)
    storage.used(2**40)
    assert (large == np.arange(3_000_000)).all()


def test_nothing_is_left_in_the_directory_not_even_while_it_is_used(tmp_path):
    before = open_files()
    storage = Storage(0, tmp_path)
    array = storage.keep(np.arange(1000))
    assert list(tmp_path.iterdir()) == []
    del array, storage
    gc.collect()
    assert open_files() == before


def test_a_directory_that_is_missing_is_one_line_that_names_the_option(tmp_path):
    with pytest.raises(TrainingError, match="--work-dir"):
        Storage(0, tmp_path / "missing").keep(np.arange(10))
