"""A bar chart as SVG: a name, a bar and what it stands for a line; on white, so that it is readable on any page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from benchmarks.results import OURS

WIDTH: Final = 760
NAME_WIDTH: Final = 210
LABEL_WIDTH: Final = 160
LINE_HEIGHT: Final = 30
BAR_HEIGHT: Final = 18
COLOURS: Final = {True: "#4051b5", False: "#9aa3ad"}


@dataclass(frozen=True)
class Bar:
    """One line of the chart."""

    name: str
    value: float
    label: str


def chart(title: str, bars: Sequence[Bar]) -> str:
    """Draw the bars, the longest first; those of Cartcast have a colour of their own."""
    ordered = sorted(bars, key=lambda bar: -bar.value)
    most = max((bar.value for bar in ordered), default=1.0)
    height = LINE_HEIGHT * (len(ordered) + 1) + 10
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title><style>text{{font:14px sans-serif;fill:#24292f}}</style>",
            f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#fff"/>',
            f'<text x="{NAME_WIDTH}" y="20">{escape(title)}</text>',
            *(_line(number, bar, most) for number, bar in enumerate(ordered, 1)),
            "</svg>\n",
        )
    )


def _line(number: int, bar: Bar, most: float) -> str:
    top = LINE_HEIGHT * number
    length = (WIDTH - NAME_WIDTH - LABEL_WIDTH) * bar.value / most
    baseline = top + BAR_HEIGHT - 4
    return (
        f'<text x="{NAME_WIDTH - 10}" y="{baseline}" text-anchor="end">{escape(bar.name)}</text>'
        f'<rect x="{NAME_WIDTH}" y="{top}" width="{length:.1f}" height="{BAR_HEIGHT}" rx="2" '
        f'fill="{COLOURS[bar.name.startswith(OURS)]}"/>'
        f'<text x="{NAME_WIDTH + length + 8:.1f}" y="{baseline}">{escape(bar.label)}</text>'
    )
