"""The bill of materials names what runs, with licences, and neither tools of development nor addresses."""

import copy
import json

import pytest

import cartcast
from cartcast.reference.sbom import ROOT, bill_of_materials, check, pins_of

PINS = """\
numpy==2.4.6 \\
    --hash=sha256:00
scipy==1.17.0 ; python_full_version < '3.12' \\
    --hash=sha256:01
scipy==1.18.1 ; python_full_version >= '3.12' \\
    --hash=sha256:02
typing_extensions[x]==4.15.0
"""
ADDRESS = {"type": "website", "url": "https://example.com/"}


def package(name: str, version: str):
    return {
        "type": "library", "bom-ref": f"{name}=={version}", "name": name, "version": version,
        "licenses": [{"license": {"id": "MIT"}}], "externalReferences": [ADDRESS],
    }  # fmt: skip


ENVIRONMENT = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "metadata": {
        "component": {"type": "application", "bom-ref": ROOT, "name": "cartcast"},
        "tools": {"components": [package("cyclonedx-py", "7.5.0")]},
    },
    "components": [package("numpy", "2.4.6"), package("scipy", "1.17.0"), package("pytest", "9.2.0")],
    "dependencies": [
        {"ref": ROOT, "dependsOn": ["numpy==2.4.6", "pytest==9.2.0"]},
        {"ref": "scipy==1.17.0", "dependsOn": ["numpy==2.4.6"]},
    ],
}


@pytest.fixture
def bill():
    return bill_of_materials(copy.deepcopy(ENVIRONMENT), pins_of(PINS))


def test_every_pinned_package_is_on_it_and_no_other(bill):
    assert [(each["name"], each["version"]) for each in bill["components"]] == [
        ("numpy", "2.4.6"), ("scipy", "1.17.0"), ("scipy", "1.18.1"), ("typing-extensions", "4.15.0"),
    ]  # fmt: skip
    assert bill["components"][0]["licenses"] == [{"license": {"id": "MIT"}}]


def test_what_needs_what_is_kept(bill):
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert needs[ROOT] == ["numpy==2.4.6"]
    assert needs["scipy==1.17.0"] == ["numpy==2.4.6"]


def test_it_is_of_this_version(bill):
    assert bill["metadata"]["component"]["version"] == cartcast.__version__


def test_it_holds_no_address(bill):
    assert "://" not in json.dumps(bill)


def test_it_is_cyclonedx(bill):
    check(json.dumps(bill))
    with pytest.raises(ValueError, match=r"not CycloneDX 1\.6"):
        check(json.dumps(bill | {"components": [{"name": "numpy"}]}))


def test_a_file_that_pins_nothing_is_refused():
    with pytest.raises(ValueError, match="pins no package"):
        pins_of("numpy>=2\n")
