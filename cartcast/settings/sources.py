"""Where settings come from: each source as a tree of values, and the name of what brought each of them."""

import copy
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import yaml  # type: ignore[import-untyped]

from cartcast.settings.fields import PREFIX, variable_of
from service.errors import UsageError

FILE_SUFFIX: Final = "_file"
"""A secret may be named by a file: `sasl_password_file`, CARTCAST_KAFKA__SASL_PASSWORD_FILE."""

Place = tuple[str, ...]
"""The path of a value in the tree."""


@dataclass
class Layer:
    """What one source says."""

    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[Place, str] = field(default_factory=dict)

    def put(self, place: Place, value: object, origin: str) -> None:
        """Add a value; a dict is taken apart, so that every value has its origin."""
        if isinstance(value, dict) and value:
            for name, each in value.items():
                self.put((*place, str(name)), each, origin)
            return
        node = self.tree
        for name in place[:-1]:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        node[place[-1]] = value
        self.origins[place] = origin


def origin_of(layers: Collection[Layer], place: Place) -> str | None:
    """Return what brought the value at `place`, or something in it or around it; None if nothing did."""
    for layer in layers:
        for known, origin in layer.origins.items():
            if known[: len(place)] == place or place[: len(known)] == known:
                return origin
    return None


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return one tree with each value of the first layer that has it; the strongest layer comes first."""
    together: dict[str, Any] = {}
    for layer in reversed(layers):
        _update(together, layer.tree)
    return together


def _update(tree: dict[str, Any], stronger: Mapping[str, Any]) -> None:
    for name, value in stronger.items():
        weaker = tree.get(name)
        if isinstance(value, dict) and isinstance(weaker, dict):
            _update(weaker, value)
        else:
            tree[name] = copy.deepcopy(value)


def flags_layer(flags: Mapping[str, object]) -> Layer:
    """Return the values of the command line, which commands give as `branch={name: value}`."""
    layer = Layer()
    for branch, values in flags.items():
        if not isinstance(values, Mapping):
            layer.put((branch,), values, f"flag --{branch}")
            continue
        for name, value in values.items():
            layer.put((branch, name), value, f"flag --{name.replace('_', '-')}")
    return layer


def variables_layer(environment: Mapping[str, str], branches: Collection[str], secrets: Collection[Place]) -> Layer:
    """Return the values of the environment; raises UsageError for a branch that is none and for broken JSON.

    A variable without `__` may be somebody else's (Kubernetes makes some for each service), unless it is a branch.
    """
    layer = Layer()
    for variable, place in _places(environment, branches, "variable"):
        text = environment[variable]
        if len(place) == 1:
            layer.put(place, _json(variable, text), f"variable {variable}")
        else:
            layer.put(place, text, f"variable {variable}")
    read_secret_files(layer, secrets)
    return layer


def secrets_layer(directory: Path, branches: Collection[str]) -> Layer:
    """Return the values of a directory with one file a setting, named like its variable."""
    layer = Layer()
    names = [path.name for path in _listed(directory) if path.is_file()]
    for name, place in _places(names, branches, "file"):
        layer.put(place, read_secret(directory / name, "CARTCAST_SECRETS_DIR"), f"file {directory / name}")
    return layer


def yaml_layer(path: Path, named_by: str, secrets: Collection[Place]) -> Layer:
    """Return the values of a YAML file; raises UsageError if it is none."""
    layer = Layer()
    for name, value in read_yaml(path, "settings file", named_by).items():
        layer.put((name,), value, f"file {path}")
    read_secret_files(layer, secrets)
    return layer


def read_secret_files(layer: Layer, secrets: Collection[Place]) -> None:
    """Put the content of each file that stands for a secret in place of its name; raises UsageError."""
    for place in secrets:
        named = (*place[:-1], place[-1] + FILE_SUFFIX)
        origin = layer.origins.pop(named, None)
        if origin is None:
            continue
        branch = layer.tree[place[0]]
        path = branch.pop(named[-1])
        if branch.get(place[-1]):  # an empty one is what a launcher passes on for one that is not set
            both = f"{'.'.join(place)} and {'.'.join(named)}"
            raise UsageError(f"{both} are both set ({layer.origins.get(place)}, {origin}): keep one of them")
        layer.put(place, read_secret(Path(str(path)), origin), f"file {path}, named by {origin}")


def read_secret(path: Path, named_by: str) -> str:
    """Return a secret file's content without the space around it; raises UsageError if there is none."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as failure:
        reason = (getattr(failure, "strerror", None) or "not text").lower()
        raise UsageError(
            f"the secret file {path} cannot be read ({reason}): create it, or correct {named_by}"
        ) from None
    if not secret:
        raise UsageError(f"the secret file {path} is empty: write the secret into it, or correct {named_by}")
    return secret


def refuse_single_underscores(environment: Mapping[str, str], settings: Collection[Place]) -> None:
    """Raise UsageError for CARTCAST_KAFKA_PARTITIONS, which would else be taken for somebody else's variable.

    Kubernetes makes CARTCAST_DASHBOARD_PORT for a service of that name; its value is an address.
    """
    meant = {f"{PREFIX}{'_'.join(place)}".upper(): variable_of(*place) for place in settings}
    for variable, value in environment.items():
        if variable.upper() in meant and not value.startswith(("tcp://", "udp://")):
            right = meant[variable.upper()]
            raise UsageError(
                f"variable {variable}: there is no such setting; did you mean {right}, with two underscores?"
            )


def _places(names: Collection[str], branches: Collection[str], what: str) -> Iterator[tuple[str, Place]]:
    """Yield those names that are meant for us, each with its place in the tree."""
    for name in sorted(names):
        if not name.upper().startswith(PREFIX):
            continue
        place = tuple(name[len(PREFIX) :].lower().split("__"))
        if place[0] in branches:
            yield name, place
        elif len(place) > 1:
            raise UsageError(f"{what} {name}: there is no setting {place[0]}; there are {', '.join(branches)}")


def _json(variable: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise UsageError(
            f"variable {variable} is not JSON: give JSON, or one variable a value, e.g. CARTCAST_KAFKA__PARTITIONS=8"
        ) from None


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        raise UsageError(f"{directory} is no directory that can be read: correct CARTCAST_SECRETS_DIR") from None


class _NamedTwiceError(yaml.YAMLError):  # type: ignore[misc] # the package has no types
    def __init__(self, name: object, line: int) -> None:
        super().__init__()
        self.name, self.line = name, line


class _NamesOnce(yaml.SafeLoader):  # type: ignore[misc] # the package has no types
    """Refuses a name that is given twice in one place, of which PyYAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for name in (name for name, _ in node.value if isinstance(name, yaml.ScalarNode)):
            if name.value in names:
                raise _NamedTwiceError(name.value, name.start_mark.line + 1)
            names.add(name.value)
        return cast("dict[Any, Any]", super().construct_mapping(node, deep))


def read_yaml(path: Path, what: str, named_by: str) -> dict[str, Any]:
    """Return the names and values of a YAML file; raises UsageError that calls it `what`."""
    try:
        content = yaml.load(path.read_bytes(), _NamesOnce)  # noqa: S506 - it is a SafeLoader
    except OSError as failure:
        reason = (failure.strerror or "").lower()
        raise UsageError(f"the {what} {path} cannot be read ({reason}): correct {named_by}") from None
    except _NamedTwiceError as failure:
        raise UsageError(
            f"the {what} {path} gives {failure.name} again in line {failure.line}: keep one of the two"
        ) from None
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = "" if mark is None else f", see line {mark.line + 1}"  # the text itself may hold a secret
        raise UsageError(f"the {what} {path} is not YAML{where}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"the {what} {path} has no names: it should begin with one and a colon, as in `name: value`")
    return {str(name): value for name, value in content.items()}
