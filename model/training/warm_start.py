"""Beginning a training with the weights of another model, rather than with random ones.

What a shopper's path says of buying is much the same in every shop: how pauses, carts and second looks are read need
not be learnt from a few shoppers. What is a shop's own is left out: its categories, and how many buy.
"""

from typing import Final

import torch

from model.lstm import LABEL_EMBEDDING, PropensityLSTM

_SHARED: Final = (
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

    Numbers and attributes that `start` does not have begin at zero, and a type that it does not have as the one that it
    behaves like; horizons that it does not have, and the embedding of categories, stay as they are.
    """
    here, there = model.state_dict(), start.state_dict()
    for name in _SHARED:
        here[name].copy_(there[name])
    shop, earlier = model.config.shop, start.config.shop
    types = dict(zip(shop.event_types, shop.behaves_like, strict=True))
    of_types = [name if name in earlier.event_types else like for name, like in types.items()]
    rows = [earlier.event_types.index(name) for name in of_types]
    here["type_embedding.weight"].copy_(there["type_embedding.weight"][rows])
    names, other_names = _inputs(model), _inputs(start)
    known = [place for place, name in enumerate(names) if name in other_names]
    found = [other_names.index(names[place]) for place in known]
    inputs, other = here["lstm.weight_ih_l0"], there["lstm.weight_ih_l0"]  # (gates, numeric inputs + embeddings)
    inputs.zero_()
    inputs[:, known] = other[:, found]
    for name in set(shop.categorical) & set(earlier.categorical):
        embedding = there[f"label_embeddings.{earlier.categorical.index(name)}.weight"]
        here[f"label_embeddings.{shop.categorical.index(name)}.weight"].copy_(embedding)
        for row, horizon in enumerate(model.config.horizons):
            if horizon in start.config.horizons:
                theirs = there[f"label_logits.{earlier.categorical.index(name)}.weight"]
                logits = here[f"label_logits.{shop.categorical.index(name)}.weight"]
                logits[:, row] = theirs[:, start.config.horizons.index(horizon)]
    of_heads = sum(place < len(model.config.numeric_inputs) for place in known)
    known, found = known[:of_heads], found[:of_heads]
    hidden = model.config.hidden_size
    for row, horizon in enumerate(model.config.horizons):
        if horizon in start.config.horizons:
            weights, other = here["heads.weight"][row], there["heads.weight"][start.config.horizons.index(horizon)]
            weights.zero_()
            weights[:hidden] = other[:hidden]
            weights[torch.tensor(known) + hidden] = other[torch.tensor(found) + hidden]


def _inputs(model: PropensityLSTM) -> list[str]:
    """Return a name per input of the LSTM; numbers come first."""
    config = model.config
    sizes = {"type": config.type_embedding, "category": config.category_embedding, "token": config.token_embedding}
    sizes |= {f"attribute {name}": LABEL_EMBEDDING for name in config.shop.categorical}
    embedded = [f"{name}, place {place}" for name, size in sizes.items() for place in range(size)]
    return [*config.numeric_inputs, *embedded]
