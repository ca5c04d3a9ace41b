import msgspec
import pytest
import torch

from model.core.features import NUMERIC_FEATURES
from model.lstm import LSTMConfig, PropensityLSTM
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
