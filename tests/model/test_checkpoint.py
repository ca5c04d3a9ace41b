import ctypes
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from model.checkpoint import DEFAULT_CHECKPOINT, Calibration, load_checkpoint, save_checkpoint
from model.horizons import HORIZONS
from model.lstm import LSTMConfig, PropensityLSTM
from service.errors import CheckpointError

CALIBRATION = Calibration((1.5, 1.0, 0.5), (0.1, 0.0, -0.1))


def network(seed: int = 1, hidden_size: int = 8) -> PropensityLSTM:
    torch.manual_seed(seed)
    return PropensityLSTM(LSTMConfig(hidden_size=hidden_size))


def save(directory: Path, seed: int = 1, calibration: Calibration = CALIBRATION, **kept) -> str:
    kept = {"metrics": {}, "training": {}} | kept
    return save_checkpoint(directory, network(seed), calibration=calibration, **kept)


@pytest.fixture
def directory(tmp_path) -> Path:
    save(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def edit(path: Path, **fields) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))


def description(directory: Path) -> dict:
    return json.loads((directory / "checkpoint.json").read_bytes())


def test_what_was_saved_is_loaded(tmp_path):
    metrics, training = {"auc": {"1h": 0.81}}, {"events": 5, "command": "cartcast train"}
    version = save(tmp_path / "deep" / "down", metrics=metrics, training=training)
    loaded = load_checkpoint(tmp_path / "deep" / "down")
    assert (loaded.version, loaded.metrics, loaded.training) == (version, metrics, training)
    assert loaded.calibration == CALIBRATION
    assert loaded.model.config == LSTMConfig(hidden_size=8)
    assert not loaded.model.training
    for name, weight in network().state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], weight)


def test_the_weights_that_were_measured_are_kept_beside_those_that_serve(tmp_path):
    version = save(tmp_path / "one", earlier=network(seed=2))
    loaded = load_checkpoint(tmp_path / "one")
    assert version == save(tmp_path / "two")
    for name, weight in network(seed=2).state_dict().items():
        assert torch.equal(loaded.earlier.state_dict()[name], weight)
    assert load_checkpoint(tmp_path / "two").earlier is None


def test_what_is_known_of_categories_is_kept_for_those_that_are_known(tmp_path):
    model = network()
    model.category_rates[:] = torch.tensor([-4.0, 0.0])
    model.category_rates[[7, 65_535]] = torch.tensor([[-2.0, 1.0], [-3.0, 0.5]])
    save_checkpoint(tmp_path / "c", model, calibration=CALIBRATION, metrics={}, training={})
    assert torch.equal(load_checkpoint(tmp_path / "c").model.category_rates, model.category_rates)
    stored = safetensors.torch.load((tmp_path / "c" / "weights.safetensors").read_bytes())
    assert stored["category_codes"].tolist() == [0, 7, 65_535]


def test_the_version_names_the_size_and_changes_with_weights_and_calibration(tmp_path):
    versions = [
        save(tmp_path / "a"),
        save(tmp_path / "b", seed=2),
        save(tmp_path / "c", calibration=Calibration.identity(len(HORIZONS))),
    ]
    assert all(version.startswith("lstm8-") for version in versions)
    assert len(set(versions)) == 3
    assert save(tmp_path / "again", metrics={"auc": 1}) == versions[0]


def test_models_are_told_apart_by_a_code_that_is_never_0(tmp_path):
    save(tmp_path / "a")
    save(tmp_path / "b", seed=2)
    codes = {load_checkpoint(tmp_path / name).code for name in "ab"}
    assert len(codes) == 2
    assert all(0 < code < 2**32 for code in codes)


def test_a_checkpoint_replaces_the_one_before_it_and_leaves_nothing_behind(directory):
    version = save(directory, seed=2)
    assert load_checkpoint(directory).version == version
    assert [path.name for path in directory.parent.iterdir()] == ["checkpoint"]
    assert sorted(path.name for path in directory.iterdir()) == [
        "card.md",
        "checkpoint.json",
        "metrics.json",
        "weights.safetensors",
    ]


@pytest.fixture(params=["at once", "by renaming twice"])
def swapping(request, monkeypatch):
    """File systems that can swap two directories, and those that cannot (NFS)."""
    if request.param != "at once":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())


@pytest.mark.usefixtures("swapping")
def test_a_replaced_checkpoint_can_be_kept_to_go_back_to(directory, tmp_path):
    kept, first = tmp_path / "kept", load_checkpoint(directory).version
    second = save(directory, seed=2, replaced=kept)
    assert (load_checkpoint(directory).version, load_checkpoint(kept).version) == (second, first)
    third = save(directory, seed=3, replaced=kept)
    assert (load_checkpoint(directory).version, load_checkpoint(kept).version) == (third, second)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "kept"]


def test_what_is_read_while_it_is_replaced_is_one_checkpoint(directory, monkeypatch):
    save(directory, seed=2)
    expected, read = load_checkpoint(directory), Path.read_bytes
    save(directory, seed=1)
    later = [lambda: save(directory, seed=2)]

    def replaced_meanwhile(path):
        if path.name == "weights.safetensors" and later:
            later.pop()()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", replaced_meanwhile)
    loaded = load_checkpoint(directory)
    assert loaded.version == expected.version
    assert torch.equal(loaded.model.heads.weight, expected.model.heads.weight)


@pytest.mark.parametrize(
    ("step", "at"), [("write_bytes", "weights.safetensors"), ("write_bytes", "metrics.json"), ("rename", "new")]
)
def test_a_failure_half_way_leaves_the_old_checkpoint(directory, monkeypatch, step, at):
    before, method = load_checkpoint(directory).version, getattr(Path, step)

    def fail(self, *arguments):
        if self.name == at:
            raise OSError(28, "No space left on device")
        return method(self, *arguments)

    monkeypatch.setattr(Path, step, fail)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    with pytest.raises(CheckpointError, match="No space left on device"):
        save(directory, seed=2)
    monkeypatch.undo()
    assert load_checkpoint(directory).version == before
    assert [path.name for path in directory.parent.iterdir()] == ["checkpoint"]


def test_an_empty_directory_may_be_filled(tmp_path):
    assert save(tmp_path) == load_checkpoint(tmp_path).version


def test_a_directory_that_is_no_checkpoint_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match="name another directory"):
        save(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_in_the_way_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CheckpointError) as refusal:
            save(path)
        assert "\n" not in str(refusal.value)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def change_weights(path: Path, change) -> None:
    weights = safetensors.torch.load(path.read_bytes())
    path.write_bytes(safetensors.torch.save(change(weights)))


BROKEN = {
    "no description": lambda d: (d / "checkpoint.json").unlink(),
    "no weights": lambda d: (d / "weights.safetensors").unlink(),
    "no metrics": lambda d: (d / "metrics.json").unlink(),
    "a directory for a file": lambda d: ((d / "metrics.json").unlink(), (d / "metrics.json").mkdir()),
    "truncated weights": lambda d: truncate(d / "weights.safetensors"),
    "empty weights": lambda d: (d / "weights.safetensors").write_bytes(b""),
    "weights that are text": lambda d: (d / "weights.safetensors").write_text("version https://git-lfs.github.com"),
    "a description that is no JSON": lambda d: (d / "checkpoint.json").write_text("{"),
    "a description that is not UTF-8": lambda d: (d / "checkpoint.json").write_bytes(b'{"version":"\xff"}'),
    "a description of something else": lambda d: (d / "checkpoint.json").write_text('{"name": "bert"}'),
    "a field of a later version": lambda d: edit(d / "checkpoint.json", quantisation="int8"),
    "metrics that are a list": lambda d: (d / "metrics.json").write_text("[]"),
    "another layout": lambda d: edit(d / "checkpoint.json", layout=99),
    "other features": lambda d: edit(
        d / "checkpoint.json", lstm=description(d)["lstm"] | {"numeric_features": ["moon_phase"]}
    ),
    "another shape": lambda d: edit(d / "checkpoint.json", lstm=description(d)["lstm"] | {"hidden_size": 16}),
    "no hidden units": lambda d: edit(d / "checkpoint.json", lstm=description(d)["lstm"] | {"hidden_size": 0}),
    "one bucket": lambda d: edit(d / "checkpoint.json", lstm=description(d)["lstm"] | {"item_buckets": 1}),
    "an unknown horizon": lambda d: edit(
        d / "checkpoint.json", lstm=description(d)["lstm"] | {"horizons": ["session", "1h", "soon"]}
    ),
    "a horizon twice": lambda d: edit(
        d / "checkpoint.json", lstm=description(d)["lstm"] | {"horizons": ["session", "1h", "1h"]}
    ),
    "a calibration of two horizons": lambda d: edit(
        d / "checkpoint.json", calibration={"slopes": [1, 1], "intercepts": [0, 0, 0]}
    ),
    "a calibration that is no number": lambda d: edit(
        d / "checkpoint.json", calibration={"slopes": [1, 1, None], "intercepts": [0, 0, 0]}
    ),
    "a weight too few": lambda d: change_weights(
        d / "weights.safetensors", lambda weights: {k: v for k, v in weights.items() if k != "heads.bias"}
    ),
    "a weight of another shape": lambda d: change_weights(
        d / "weights.safetensors", lambda weights: weights | {"heads.bias": torch.zeros(4)}
    ),
    "a weight that is not a number": lambda d: change_weights(
        d / "weights.safetensors", lambda weights: weights | {"heads.bias": torch.tensor([0.0, float("nan"), 0.0])}
    ),
    "a weight that is infinite": lambda d: change_weights(
        d / "weights.safetensors", lambda weights: weights | {"heads.bias": torch.tensor([0.0, float("inf"), 0.0])}
    ),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_checkpoint_is_one_line_that_names_the_place(directory, damage):
    BROKEN[damage](directory)
    with pytest.raises(CheckpointError, match=str(directory)) as refusal:
        load_checkpoint(directory)
    assert "\n" not in str(refusal.value)


def test_a_missing_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match="name a directory that `cartcast train` wrote"):
        load_checkpoint(tmp_path / "nowhere")


def test_the_checkpoint_that_ships_is_small_and_scores_all_horizons():
    assert sum(path.stat().st_size for path in DEFAULT_CHECKPOINT.iterdir()) <= 1_000_000
    assert load_checkpoint(DEFAULT_CHECKPOINT).model.config.horizons == HORIZONS
