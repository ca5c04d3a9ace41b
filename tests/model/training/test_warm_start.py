import msgspec
import pytest
import torch

from model.core.features import NUMERIC_FEATURES
from model.lstm import LABEL_EMBEDDING, LSTMConfig, PropensityLSTM
from model.shop import shop_of
from model.training.warm_start import is_usable, start_from

CONFIG = LSTMConfig(hidden_size=5, category_buckets=7)
FEATURES = len(NUMERIC_FEATURES)


def network(config: LSTMConfig, seed: int) -> PropensityLSTM:
    torch.manual_seed(seed)
    return PropensityLSTM(config)


def test_all_but_categories_and_base_rates_is_taken_over():
    start, fresh = network(CONFIG, 1), network(CONFIG, 2)
    model = network(CONFIG, 2)
    start_from(start, model)
    theirs, before = start.state_dict(), fresh.state_dict()
    for name, weight in model.state_dict().items():
        kept = name in {"category_embedding.weight", "heads.bias", "type_logits", "category_rates"}
        assert torch.equal(weight, (before if kept else theirs)[name]), name


def test_what_the_other_never_saw_begins_at_zero():
    features = (*NUMERIC_FEATURES[:3], *NUMERIC_FEATURES[4:])
    start, model = network(msgspec.structs.replace(CONFIG, numeric_features=features), 1), network(CONFIG, 2)
    start_from(start, model)
    inputs, heads = model.lstm.weight_ih_l0, model.heads.weight
    assert not inputs[:, 3].any()
    assert not heads[:, 5 + 3].any()
    assert torch.equal(inputs[:, 4], start.lstm.weight_ih_l0[:, 3])
    assert torch.equal(heads[:, 5 + FEATURES - 1], start.heads.weight[:, -1])
    assert torch.equal(inputs[:, FEATURES:], start.lstm.weight_ih_l0[:, FEATURES - 1 :])


def test_a_horizon_of_the_others_keeps_its_place_and_a_new_one_its_weights():
    horizons = msgspec.structs.replace(CONFIG, horizons=("24h", "7d"))
    start, fresh, model = network(CONFIG, 1), network(horizons, 2), network(horizons, 2)
    start_from(start, model)
    assert torch.equal(model.heads.weight[0], start.heads.weight[2])
    assert torch.equal(model.heads.weight[1], fresh.heads.weight[1])


@pytest.mark.parametrize(
    ("size", "usable"), [({"hidden_size": 6}, False), ({"token_buckets": 9}, False), ({"category_buckets": 9}, True)]
)
def test_a_network_of_another_size_is_not_usable(size, usable):
    assert is_usable(network(CONFIG, 1), network(msgspec.structs.replace(CONFIG, **size), 2)) == usable


def with_shop(definition) -> LSTMConfig:
    return msgspec.structs.replace(CONFIG, shop=shop_of(definition))


def test_what_a_shop_defines_begins_at_zero_and_its_types_as_those_that_they_behave_like():
    attributes = {"size": {"kind": "numeric"}, "brand": {"kind": "categorical"}}
    definition = {"types": {"one click": "purchase"}, "attributes": attributes}
    start, model = network(CONFIG, 1), network(with_shop(definition), 2)
    start_from(start, model)
    inputs = model.lstm.weight_ih_l0
    assert not inputs[:, FEATURES : FEATURES + 2].any()
    assert not inputs[:, -LABEL_EMBEDDING:].any()
    assert not model.heads.weight[:, 5 + FEATURES :].any()
    assert torch.equal(inputs[:, FEATURES + 2 : -LABEL_EMBEDDING], start.lstm.weight_ih_l0[:, FEATURES:])
    assert torch.equal(model.type_embedding.weight[10], start.type_embedding.weight[6])


def test_attributes_and_types_of_an_earlier_definition_are_taken_over_by_name():
    brand, size = {"kind": "categorical"}, {"kind": "numeric"}
    before = with_shop({"types": {"a": "view", "b": "none"}, "attributes": {"size": size, "brand": brand}})
    after = with_shop({"types": {"b": "none"}, "attributes": {"new": brand, "brand": brand, "one": size, "size": size}})
    start, model = network(before, 1), network(after, 2)
    start_from(start, model)
    assert torch.equal(model.type_embedding.weight[10], start.type_embedding.weight[11])
    assert torch.equal(model.label_embeddings[1].weight, start.label_embeddings[0].weight)
    inputs, theirs = model.lstm.weight_ih_l0, start.lstm.weight_ih_l0
    assert torch.equal(inputs[:, -LABEL_EMBEDDING:], theirs[:, -LABEL_EMBEDDING:])
    assert torch.equal(inputs[:, FEATURES + 1], theirs[:, FEATURES])
    assert not inputs[:, FEATURES].any()
