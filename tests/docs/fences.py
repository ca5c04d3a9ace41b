"""Fenced code of the documents, and what a comment before it says about it.

A block that cannot be run or checked here has a comment on the line before it, which no reader sees:
`<!-- not run: the reason -->`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_OPENING = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>\w*).*$")
_MARK = re.compile(r"<!-- not run: (?P<reason>.+) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    language: str
    text: str
    reason: str
    """Why it is not run; empty if it is to be."""

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Every block of these languages in README and `docs/`."""
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]


def blocks_of(page: Path) -> Iterator[Block]:
    before, opening, started, lines = "", None, 0, list[str]()
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if opening is None:
            if (opening := _OPENING.match(line)) is None:
                before = line if line.strip() else before
            else:
                started, lines = number, []
        elif line.strip() == opening["fence"]:
            mark = _MARK.fullmatch(before.strip())
            text = "\n".join(each.removeprefix(opening["indent"]) for each in lines)
            name = str(page.relative_to(ROOT))
            yield Block(name, started, opening["language"], text + "\n", mark["reason"] if mark else "")
            before, opening = "", None
        else:
            lines.append(line)
    assert opening is None, f"{page}: a block that begins at line {started} does not end"


def prose_of(page: Path) -> str:
    """The page without its blocks."""
    text = page.read_text()
    return re.sub(r"^ *(```+|~~~+).*?^ *\1 *$", "", text, flags=re.DOTALL | re.MULTILINE)
