"""A bar chart as SVG: a name, a bar and a number a line; readable on a light page and on a dark one."""

from collections.abc import Sequence
from html import escape
from typing import Final

WIDTH: Final = 760
NAME_WIDTH: Final = 210
NUMBER_WIDTH: Final = 90
LINE_HEIGHT: Final = 30
BAR_HEIGHT: Final = 18
OURS: Final = "Cartcast"
COLOURS: Final = {True: "#4051b5", False: "#9aa3ad"}
STYLE: Final = (
    "text{font:14px sans-serif;fill:#24292f}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{stroke:#e6edf3;stroke-width:.3}}"
)


def bars(values: Sequence[tuple[str, float]], unit: str = "events a second") -> str:
    """Draw the values, the largest first; those of Cartcast have a colour of their own."""
    ordered = sorted(values, key=lambda pair: -pair[1])
    most = max((value for _, value in ordered), default=1.0)
    height = LINE_HEIGHT * (len(ordered) + 1)
    lines = [_bar(number, name, value, most) for number, (name, value) in enumerate(ordered, 1)]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height + 8}" role="img">',
            f"<title>{escape(unit)}</title><style>{STYLE}</style>",
            f'<text x="{NAME_WIDTH}" y="20">{escape(unit)}, more is better</text>',
            *lines,
            "</svg>\n",
        )
    )


def _bar(number: int, name: str, value: float, most: float) -> str:
    top = LINE_HEIGHT * number
    length = (WIDTH - NAME_WIDTH - NUMBER_WIDTH) * value / most
    baseline = top + BAR_HEIGHT - 4
    return (
        f'<text x="{NAME_WIDTH - 10}" y="{baseline}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{NAME_WIDTH}" y="{top}" width="{length:.1f}" height="{BAR_HEIGHT}" rx="2" '
        f'fill="{COLOURS[name.startswith(OURS)]}"/>'
        f'<text x="{NAME_WIDTH + length + 8:.1f}" y="{baseline}">{value:,.0f}</text>'
    )
