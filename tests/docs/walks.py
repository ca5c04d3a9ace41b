"""The sections "In ten minutes" of the documents: their commands, made small enough for a test."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.fences import ROOT, Block, blocks_of

TRAINING = ROOT / "docs/how-to/train-on-your-history.md"
DASHBOARD = ROOT / "docs/dashboard.md"
CONSUMING = ROOT / "docs/how-to/consume-the-scores.md"
_SMALL = {"--events 30000 --users 800": "--events 6000 --users 200", "--epochs 4": "--epochs 1"}


def steps(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page's section "In ten minutes" after the installation, in order."""
    begins, ends = _lines(page)
    for block in blocks_of(page):
        if begins < block.line < ends and "make " not in block.text:
            yield block


def section(page: Path) -> str:
    begins, ends = _lines(page)
    return "\n".join(page.read_text().splitlines()[begins : ends - 1])


def made_small(text: str) -> str:
    return re.sub("|".join(map(re.escape, _SMALL)), lambda found: _SMALL[found[0]], text)


def _lines(page: Path) -> tuple[int, int]:
    headings = [number for number, line in enumerate(page.read_text().splitlines(), 1) if line.startswith("## ")]
    begins = next(n for n in headings if page.read_text().splitlines()[n - 1].startswith("## In ten minutes"))
    return begins, next(n for n in headings if n > begins)
