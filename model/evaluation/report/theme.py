"""Colours that follow the reader's light or dark page, and turning a figure into SVG that stands inside it.

Matplotlib knows no CSS variables, so figures are drawn in stand-in colours that nothing else uses, and the SVG's text
is rewritten. Letters stay letters: the page's own font is used, and a reader can select them.
"""

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#010101"
MUTED: Final = "#020202"
GRID: Final = "#030303"
SERIES: Final = {
    "cartcast": "#0a0101",
    "base_rate": "#0a0202",
    "logistic_regression": "#0a0303",
    "gradient_boosting": "#0a0404",
    "textbook_lstm": "#0a0505",
}
"""One colour per model; the template gives each its light and its dark shade."""

_VARIABLES: Final = {INK: "ink", MUTED: "muted", GRID: "line"} | {
    color: name.replace("_", "-") for name, color in SERIES.items()
}
_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "cartcast",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}
_HEAD: Final = re.compile(r"^.*?<svg ", re.DOTALL)
_SIZE: Final = re.compile(r'(<svg [^>]*?) width="[^"]*"|(<svg [^>]*?) height="[^"]*"')


@contextmanager
def panels(count: int, *, height: float, width: float = 3.3) -> Iterator["Panels"]:
    """Lend `count` figures of one panel each, so that a narrow page can have one below the other; sizes are in inches.

    Drawn about as wide as a phone shows them, so that letters are as large as those of the page.
    """
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only reports need it
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(_STYLE):
        figures = [Figure(figsize=(width, height), layout="constrained") for _ in range(count)]
        axes = [figure.subplots() for figure in figures]
        for figure, one in zip(figures, axes, strict=True):
            figure.patch.set_alpha(0)
            one.patch.set_alpha(0)
        yield Panels(figures, axes)


class Panels:
    """Figures and their panels, valid within `panels`."""

    def __init__(self, figures: "list[Figure]", axes: "list[Axes]") -> None:
        self.figures = figures
        self.axes = axes

    def svg(self, description: str) -> str:
        """Return an element of one `<svg>` per panel, each as wide as its place, in the page's colours."""
        return f'<div class="panels">{"".join(self._each(description))}</div>'

    def _each(self, description: str) -> Iterator[str]:
        for figure, axes in zip(self.figures, self.axes, strict=True):
            target = io.StringIO()
            figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
            title = axes.get_title(loc="left")
            label = html.escape(f"{description}, {title}" if title else description, quote=True)
            head = f'<svg role="img" aria-label="{label}" '
            text = head + _HEAD.sub("", target.getvalue(), count=1)
            for _ in range(2):
                text = _SIZE.sub(lambda found: found[1] or found[2], text, count=1)
            for color, variable in _VARIABLES.items():
                text = text.replace(color, f"var(--{variable})")
            yield text
