"""A missing package is one line that names the extra; a missing module of our own is a bug."""

import tomllib
from pathlib import Path

import pytest

from cartcast.__main__ import main
from cartcast.commands import COMMANDS
from cartcast.extras import EXTRAS, missing_extra

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())


def absent(name: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("arguments", "command", "extra"),
    [
        (["demo", "--events", "10"], "cartcast demo", "demo"),
        (["--config", "shop.yaml", "sink"], "cartcast sink", "sink"),
        (["inspect", "x.csv"], "cartcast", "all"),
    ],
)
def test_the_line_names_command_package_and_extra(arguments, command, extra):
    line = missing_extra(absent("torch.nn"), arguments)
    assert f"`{command}` needs the package torch," in line
    assert f".whl[{extra}]'" in line
    assert "\n" not in line


@pytest.mark.parametrize("name", ["cartcast.nothing", "streams", "model.nothing", None])
def test_a_missing_module_of_our_own_is_no_matter_of_extras(name):
    assert missing_extra(ModuleNotFoundError("", name=name), ["demo"]) is None


def test_every_named_extra_and_command_exists():
    assert set(EXTRAS.values()) | {"all"} <= set(PYPROJECT["project"]["optional-dependencies"])
    assert set(EXTRAS) <= COMMANDS.keys()


@pytest.mark.parametrize(("name", "ends"), [("torch", SystemExit), ("model.nothing", ModuleNotFoundError)])
def test_the_command_ends_with_the_line(name, ends, monkeypatch, capsys):
    def run(**_) -> None:
        raise absent(name)

    monkeypatch.setattr("cartcast.__main__.app", run)
    monkeypatch.setattr("sys.argv", ["cartcast", "worker"])
    with pytest.raises(ends) as end:
        main()
    if ends is SystemExit:
        assert end.value.code == 1
        assert capsys.readouterr().err.startswith("cartcast: `cartcast worker` needs the package torch,")
