import numpy as np
import torch

from model.events import EVENT_TYPES, TYPE_CODES
from model.heads import HEADS, NO_HEADS, HeadNames, bucket_of, extra_dtype, may_be_named
from model.lstm import _bucket
from model.shop import shop_of


def answers(types: list[list[int]], categories: list[list[tuple[int, float]]]) -> np.ndarray:
    ranked = np.zeros(len(types), extra_dtype(HEADS))
    ranked["next_type"]["classes"] = types
    ranked["next_type"]["propensities"] = [0.6123456, 0.3, 0.0]
    ranked["purchase_category"]["classes"] = [[code for code, _ in row] for row in categories]
    ranked["purchase_category"]["propensities"] = [[share for _, share in row] for row in categories]
    return ranked


def test_answers_are_published_by_name_in_flat_fields():
    cart, view = TYPE_CODES["cart"], TYPE_CODES["view"]
    ranked = answers(
        [[cart, view, 2], [view, cart, 2]], [[(5, 0.5), (3, 0.2), (4, 0.1)], [(3, 0.9), (0, 0.0), (0, 0.0)]]
    )
    names = HeadNames(HEADS, {3: "bags", 4: "hats", 5: "shoes"})
    assert names.fields == [
        ("next_type", str),
        ("next_type_propensity", float),
        ("next_purchase_categories", list[str]),
    ]
    assert names.columns(ranked) == [["cart", "view"], [0.612346, 0.612346], [["shoes", "bags", "hats"], ["bags"]]]


def test_one_head_alone_has_its_fields_alone():
    ranked = np.zeros(2, extra_dtype(("next_type",)))
    assert [name for name, _ in HeadNames(("next_type",)).fields] == ["next_type", "next_type_propensity"]
    assert HeadNames(("next_type",)).columns(ranked)[0] == ["view", "view"]


def test_a_shops_own_type_is_named_as_the_shop_does():
    ranked = np.zeros(2, extra_dtype(("next_type",)))
    ranked["next_type"]["classes"][:, 0] = len(EVENT_TYPES), TYPE_CODES["cart"]
    names = HeadNames(("next_type",), event_types=shop_of({"types": {"Size Guide": "view"}}).event_types)
    assert names.columns(ranked)[0] == ["Size Guide", "cart"]


def test_without_heads_there_is_nothing_and_it_takes_no_bytes():
    ranked = np.zeros(7, extra_dtype(()))
    assert (NO_HEADS.fields, NO_HEADS.columns(ranked), ranked.nbytes) == ([], [], 0)


def test_a_bucket_is_the_networks_bucket():
    codes = np.arange(65_536, dtype=np.uint16)
    for buckets in (2, 16, 512, 65_536):
        network = _bucket(torch.from_numpy(codes.astype(np.int64)), buckets).numpy()
        np.testing.assert_array_equal(bucket_of(codes, buckets), network)


def test_only_categories_may_be_without_a_name():
    assert may_be_named("next_type", 16, {}).all()
    assert np.flatnonzero(may_be_named("purchase_category", 16, {3: "bags", 99: "of no bucket"})).tolist() == [3]
