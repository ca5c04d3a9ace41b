"""The public names: documented, typed, and free until they are used."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import cartcast

NAMES = [name for name in cartcast.__all__ if name != "__version__"]
PAGE = (Path(__file__).parents[3] / "docs" / "python.md").read_text()


def functions():
    for name in NAMES:
        found = getattr(cartcast, name)
        if not inspect.isclass(found):
            yield name, found
        elif not issubclass(found, Exception):
            yield from ((f"{name}.{one}", each) for one, each in vars(found).items() if inspect.isfunction(each))


PUBLIC = {name: each for name, each in functions() if not name.rpartition(".")[2].startswith("_")}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_function_says_what_it_does_and_of_what_types_its_parameters_are(name):
    signature = inspect.signature(PUBLIC[name])
    assert PUBLIC[name].__doc__
    assert signature.return_annotation is not inspect.Parameter.empty
    for parameter in list(signature.parameters.values())["." in name :]:
        assert parameter.annotation is not inspect.Parameter.empty, parameter


def test_the_page_of_the_api_names_all_of_it():
    assert [name for name in [*NAMES, *PUBLIC] if f"{name.rpartition('.')[2]}" not in PAGE] == []


def test_what_is_not_public_is_no_attribute():
    assert dir(cartcast) == sorted(cartcast.__all__)
    with pytest.raises(AttributeError, match="no attribute 'scor'"):
        cartcast.scor  # noqa: B018


def test_importing_it_loads_none_of_what_it_may_need():
    heavy = {"torch", "numpy", "pyarrow", "typer", "confluent_kafka"}
    script = f"import cartcast, sys; print(sorted({heavy} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
