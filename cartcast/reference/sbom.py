"""`make sbom`: the bill of materials of what runs, in CycloneDX.

    cyclonedx-py environment ... | python -m cartcast.reference.sbom PINS > dist/cartcast-VERSION.cdx.json

PINS is the part of requirements.lock that the package and its extras need, for every platform. What is known of the
packages (licences, what needs what) comes from the environment's own bill, which has the tools of development, too.
Addresses go: they belong to whoever installs. The result is checked against CycloneDX's own schema.
"""

import json
import re
import sys
from collections.abc import Set
from pathlib import Path
from typing import Any, Final

import cartcast

Node = dict[str, Any]
Pin = tuple[str, str]
"""A package's normal name, and its version."""

ROOT: Final = "root-component"
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


def pins_of(requirements: str) -> set[Pin]:
    """Return what a requirements file pins; raises ValueError if it pins nothing."""
    pins = {(_normal(name), version) for name, version in _PIN.findall(requirements)}
    if not pins:
        raise ValueError("the file pins no package: it is no part of requirements.lock")
    return pins


def bill_of_materials(environment: Node, pins: Set[Pin]) -> Node:
    """Return the bill of these packages; `environment` is CycloneDX's document of one that has most of them."""
    known = {(_normal(component["name"]), component["version"]): component for component in environment["components"]}
    components = [_component(pin, known.get(pin)) for pin in sorted(pins)]
    refs = {component["bom-ref"] for component in components}
    needs = {node["ref"]: sorted(refs & set(node.get("dependsOn", []))) for node in environment["dependencies"]}
    return {
        **environment,
        "metadata": {**environment["metadata"], "component": _root(environment), "tools": _tools(environment)},
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": needs.get(ref, [])} for ref in (ROOT, *sorted(refs))],
    }


def _component(pin: Pin, known: Node | None) -> Node:
    """Return what is known of a package; one for other platforms or Pythons has its name and version only."""
    if known is not None:
        return _without_addresses(known)
    name, version = pin
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": f"{name}=={version}", "name": name, "version": version, "purl": purl}


def _root(environment: Node) -> Node:
    name, version = "cartcast", cartcast.__version__
    return {**environment["metadata"]["component"], "version": version, "purl": f"pkg:pypi/{name}@{version}"}


def _tools(environment: Node) -> Node:
    tools: Node = environment["metadata"]["tools"]
    return {kind: [_without_addresses(tool) for tool in listed] for kind, listed in tools.items()}


def _without_addresses(component: Node) -> Node:
    return {key: value for key, value in component.items() if key != "externalReferences"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def check(document: str) -> None:
    """Raise ValueError if the document is not CycloneDX."""
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415 - a tool of development
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415 - likewise

    if (failure := JsonStrictValidator(SchemaVersion.V1_6).validate_str(document)) is not None:
        raise ValueError(f"the bill of materials is not CycloneDX 1.6: {failure}")


def main() -> None:
    """Read the environment's bill and the pins, write the program's bill."""
    pins = pins_of(Path(sys.argv[1]).read_text(encoding="utf-8"))
    document = json.dumps(bill_of_materials(json.load(sys.stdin), pins), indent=2, ensure_ascii=False) + "\n"
    check(document)
    sys.stdout.write(document)


if __name__ == "__main__":
    main()
