"""What deploy/docker/Dockerfile says of its images, for the tests that run their commands without Docker."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
PARTS = ("worker", "sink", "dashboard")
HEALTHCHECK = ROOT / "deploy" / "docker" / "healthcheck.py"


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str


def stages() -> dict[str, tuple[str, list[Instruction]]]:
    """Return each stage's base and instructions, in the file's order."""
    found: dict[str, tuple[str, list[Instruction]]] = {}
    current: list[Instruction] = []
    for line in re.sub(r"\\\n", " ", _without_comments()).splitlines():
        if not line.strip():
            continue
        name, text = line.strip().split(maxsplit=1)
        if name == "FROM":
            base, _, stage = text.split()
            current = []
            found[stage] = (base, current)
        else:
            current.append(Instruction(name, text.strip()))
    return found


def instructions(stage: str) -> list[Instruction]:
    """Return what makes a stage, with what it inherits."""
    base, own = stages()[stage]
    return [*(instructions(base) if base in stages() else []), *own]


def environment(stage: str) -> dict[str, str]:
    texts = [instruction.text for instruction in instructions(stage) if instruction.name == "ENV"]
    return dict(word.split("=", 1) for text in texts for word in text.split())


def command(stage: str, name: str) -> list[str]:
    """Return the words of the last CMD, ENTRYPOINT or HEALTHCHECK."""
    text = [instruction.text for instruction in instructions(stage) if instruction.name == name][-1]
    words: list[str] = json.loads(text[text.index("[") :])
    return words


def _without_comments() -> str:
    lines = DOCKERFILE.read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
