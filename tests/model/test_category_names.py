from collections import Counter
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.batch import id_code
from model.heads import CATEGORY_CODES, CategoryNames, bucket_of


def counts_of(categories: list[str | None]) -> np.ndarray:
    return np.bincount([id_code(name) for name in categories], minlength=CATEGORY_CODES)


def names_of(categories: list[str | None], buckets: int, at_once: int = 7) -> dict[int, str]:
    names = CategoryNames()
    for start in range(0, len(categories), at_once):
        names.count(categories[start : start + at_once])
    return names.by_bucket(counts_of(categories), buckets)


@given(st.lists(st.sampled_from(["shoes", "bags", "hats", "ü", None, ""]), max_size=40))
def test_every_bucket_goes_by_its_most_frequent_category(categories):
    found = names_of(categories, buckets=4)
    counts = Counter(name for name in categories if name)
    for bucket in range(4):
        inside = {
            name: n for name, n in counts.items() if bucket_of(np.array([id_code(name)], np.uint16), 4)[0] == bucket
        }
        assert (bucket in found) == bool(inside)
        assert not inside or counts[found[bucket]] == max(inside.values())


def test_a_code_that_several_share_goes_by_the_one_that_has_most_of_it(monkeypatch):
    monkeypatch.setattr("model.heads.id_code", lambda _: 5)
    categories = ["often"] * 60 + [f"rare{number}" for number in range(40)]
    Random(1).shuffle(categories)
    names = CategoryNames()
    for category in categories:
        names.count([category])
    assert names.by_bucket(np.bincount([5], minlength=CATEGORY_CODES), 512) == {5: "often"}


def test_memory_is_bounded_by_the_codes():
    names = CategoryNames()
    names.count(f"category {number}" for number in range(100_000))
    assert len(names._votes) < CATEGORY_CODES


def test_a_category_that_is_counted_nowhere_gives_no_name():
    names = CategoryNames()
    names.count(["shoes"])
    assert names.by_bucket(np.zeros(CATEGORY_CODES, np.int64), 16) == {}
