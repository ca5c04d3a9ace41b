"""Beginning a training with the weights of another model, rather than with random ones.

What a shopper's path says of buying is much the same in every shop: how pauses, carts and second looks are read need
not be learnt from a few shoppers. What is a shop's own is left out: its categories, and how many buy.
"""

from typing import Final

import torch

from model.lstm import PropensityLSTM

_SHARED: Final = (
    "type_embedding.weight",
    "token_embedding.weight",
    "lstm.weight_hh_l0",
    "lstm.bias_ih_l0",
    "lstm.bias_hh_l0",
)


def is_usable(start: PropensityLSTM, model: PropensityLSTM) -> bool:
    """Whether the weights of `start` fit the model: its numeric features and horizons may be others."""
    sizes = ("hidden_size", "type_embedding", "category_embedding", "token_buckets", "token_embedding")
    return all(getattr(start.config, size) == getattr(model.config, size) for size in sizes)


@torch.no_grad()
def start_from(start: PropensityLSTM, model: PropensityLSTM) -> None:
    """Copy the weights of `start`, which must be usable, into a new model.

    Numeric features that `start` does not have begin at zero; horizons that it does not have, and the embedding of
    categories, stay as they are.
    """
    here, there = model.state_dict(), start.state_dict()
    for name in _SHARED:
        here[name].copy_(there[name])
    features = model.config.numeric_features
    known = [place for place, name in enumerate(features) if name in start.config.numeric_features]
    found = [start.config.numeric_features.index(features[place]) for place in known]
    inputs, other = here["lstm.weight_ih_l0"], there["lstm.weight_ih_l0"]  # (gates, features + embeddings)
    inputs.zero_()
    inputs[:, known] = other[:, found]
    inputs[:, len(features) :] = other[:, len(start.config.numeric_features) :]
    hidden = model.config.hidden_size
    for row, horizon in enumerate(model.config.horizons):
        if horizon in start.config.horizons:
            weights, other = here["heads.weight"][row], there["heads.weight"][start.config.horizons.index(horizon)]
            weights.zero_()
            weights[:hidden] = other[:hidden]
            weights[torch.tensor(known) + hidden] = other[torch.tensor(found) + hidden]
