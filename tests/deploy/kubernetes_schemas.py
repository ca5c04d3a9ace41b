"""JSON schemas for kubeconform, made of what the APIs' own Go modules carry."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.go_programs import CACHE, module

KUBERNETES = "k8s.io/kubernetes@v1.34.2"
KEDA = "github.com/kedacore/keda/v2@v2.21.0"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
API_FILES = ("api__v1", "apis__apps__v1", "apis__batch__v1", "apis__networking.k8s.io__v1", "apis__policy__v1")
RESOURCES = {
    KEDA: ["config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"],
    PROMETHEUS_OPERATOR: [
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ],
}
Schema = dict[str, Any]


@cache
def schema_directory() -> Path:
    """Return a folder with a strict schema a kind: `kind-group-version.json`, as kubeconform names them."""
    made_of = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    directory = CACHE / "schemas" / made_of
    if not (directory / "complete").exists():
        directory.mkdir(parents=True, exist_ok=True)
        for name, schema in (_own_kinds() | _custom_kinds()).items():
            (directory / f"{name}.json").write_text(json.dumps(schema))
        (directory / "complete").touch()
    return directory


def _own_kinds() -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for file in API_FILES:
        text = (module(KUBERNETES) / "api" / "openapi-spec" / "v3" / f"{file}_openapi.json").read_text()
        document = json.loads(text.replace("#/components/schemas/", "#/definitions/"))["components"]["schemas"]
        definitions = {name: _strict(schema) for name, schema in document.items()}
        for name, schema in document.items():
            for kind in schema.get("x-kubernetes-group-version-kind", ()):
                needed = _reachable(name, definitions)
                found[_file_name(kind)] = {"$ref": f"#/definitions/{name}", "definitions": needed}
    return found


def _custom_kinds() -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for name, files in RESOURCES.items():
        for file in files:
            definition = yaml.safe_load((module(name) / file).read_text())["spec"]
            for version in definition["versions"]:
                kind = {"kind": definition["names"]["kind"], "group": definition["group"], "version": version["name"]}
                schema = version["schema"]["openAPIV3Schema"]
                schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
                found[_file_name(kind)] = _strict(schema)
    return found


def _file_name(kind: Mapping[str, str]) -> str:
    group = kind["group"].split(".")[0]
    return "-".join(word.lower() for word in (kind["kind"], group, kind["version"]) if word)


def _strict(schema: Any) -> Any:
    """Allow no fields beyond those that are named."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(value) for name, value in schema.items() if name != "format"}
    if "properties" in schema and "additionalProperties" not in schema and isinstance(schema["properties"], dict):
        strict["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    return strict


def _reachable(name: str, definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found[current] = definitions[current]
            waiting += _references(definitions[current])
    return found


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for each in schema for name in _references(each)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"].rpartition("/")[2]] if isinstance(schema.get("$ref"), str) else []
    return own + [name for value in schema.values() for name in _references(value)]
