"""Every generated file of docs/ is what the code would write now."""

from pathlib import Path

import pytest

from cartcast.reference.__main__ import stale
from cartcast.reference.files import FILES

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "docs" / "contracts"


@pytest.mark.parametrize("name", FILES)
def test_a_generated_file_is_as_the_code_says(name):
    text = FILES[name]()
    assert (ROOT / name).read_text() == text, "run `make reference`"
    assert text.endswith("\n")


def test_no_file_of_the_contracts_is_written_by_hand():
    generated = {path for path in CONTRACTS.glob("*") if path.is_file() and path.name != "README.md"}
    assert generated == {ROOT / name for name in FILES if name.startswith("docs/contracts/")}


def test_a_file_that_differs_or_is_missing_is_found(tmp_path):
    names = [str(path.relative_to(tmp_path)) for path, _ in stale(tmp_path)]
    assert names == list(FILES)
