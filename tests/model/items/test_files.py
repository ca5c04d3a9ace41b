import numpy as np
import pytest
import safetensors.numpy

from model.items.files import from_bytes, to_bytes
from service.errors import CheckpointError
from tests.model.items.made import trained


def test_a_model_that_is_read_again_is_the_same():
    _, model = trained()
    again = from_bytes(to_bytes(model))
    assert to_bytes(again) == to_bytes(model)
    assert again.item_ids == model.item_ids
    assert again.config == model.config
    np.testing.assert_array_equal(again.embed(model.columns), model.embed(model.columns))


CONFIG = {"config": '{"dimension":8,"vector_size":2}'}
DAMAGES = {
    "cut short": lambda content, _: content[:-7],
    "empty": lambda *_: b"",
    "without its configuration": lambda _, arrays: safetensors.numpy.save(arrays),
    "without counts": lambda _, arrays: safetensors.numpy.save(without(arrays, "counts"), CONFIG),
    "an item that there is not": lambda _, arrays: changed(arrays, "follows.items", lambda items: items + 1000),
    "not numbers": lambda _, arrays: changed(arrays, "network.own.weight", lambda weights: weights * np.nan),
    "fewer items": lambda _, arrays: changed(arrays, "id_ends", lambda ends: ends[:3]),
}


def without(arrays, name):
    return {other: array for other, array in arrays.items() if other != name}


def changed(arrays, name, change):
    return safetensors.numpy.save(arrays | {name: change(arrays[name])}, CONFIG)


@pytest.mark.parametrize("damage", list(DAMAGES.values()), ids=list(DAMAGES))
def test_a_damaged_file_is_refused_in_one_line(damage):
    content = to_bytes(trained()[1])
    with pytest.raises(CheckpointError, match="does not hold a whole next-item model"):
        from_bytes(damage(content, safetensors.numpy.load(content)))
