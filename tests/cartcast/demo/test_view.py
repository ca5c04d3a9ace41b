import math
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cartcast.demo.delays import DelaySummary
from cartcast.demo.view import Buyer, Snapshot, bar, draw, save_picture, sparkline

SNAPSHOT = Snapshot(
    elapsed_seconds=12.34,
    events=48_000,
    scores=47_210,
    rows=46_500,
    duplicates=91,
    dead_letters=2,
    delay=DelaySummary(p50_ms=12, p99_ms=48, max_ms=90),
    total_events=50_000,
    event_rates=(4000.0, 2000.0),
    buyers=(Buyer("ada", 0.64, 0.48, 0.31, 0.1, "cart", "Acme winter boots"),),
    where="Kafka 127.0.0.1:9092",
)


def shown(snapshot: Snapshot, width: int = 120) -> str:
    console = Console(width=width, file=StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(draw(snapshot))
    return captured.get()


@pytest.mark.parametrize(
    "words",
    [
        "48,000 of 50,000 events",
        "47,210 scores",
        "46,500 rows",
        "p50 12 ms",
        "p99 48 ms",
        "91 duplicates",
        "2 dead letters",
        "2,000/s",
        "ada",
        "64% ▲",
        "48%",
        "31%",
        "cart",
        "Acme winter boots",
        "Kafka 127.0.0.1:9092",
    ],
)
def test_the_picture_shows(words: str) -> None:
    assert words in shown(SNAPSHOT)


def test_the_picture_can_be_drawn_before_anything_has_come() -> None:
    empty = Snapshot(elapsed_seconds=0, events=0, scores=0, rows=0, duplicates=0, dead_letters=0)
    assert "waiting" in shown(empty)


def test_a_narrow_terminal_shows_one_horizon_and_the_whole_item() -> None:
    row = re.compile(r"ada\s+\S+ +64% ▲\s+cart\s+Acme winter boots ")
    assert row.search(shown(SNAPSHOT, 80))
    assert not row.search(shown(SNAPSHOT, 120))  # which shows the other horizons between


def test_the_picture_is_saved_as_svg(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "demo.svg"
    save_picture(SNAPSHOT, path, "cartcast demo")
    assert path.read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("fraction", "filled"), [(0.0, ""), (0.5, "━━"), (1.0, "━━━━"), (0.375, "━╸"), (2.0, "━━━━"), (-1.0, "")]
)
def test_a_bar_is_exact_to_half_a_cell(fraction: float, filled: str) -> None:
    assert bar(fraction, 4) == (filled, "━" * (4 - len(filled)))


def test_a_sparkline_shows_the_latest_values_against_the_highest() -> None:
    assert sparkline([9, 1, 0, 4, 8], 4) == "▁ ▄█"
    assert sparkline([], 2) == "  "
    assert sparkline([0.0], 2) == "  "


def test_a_model_without_a_horizon_of_the_view_leaves_its_place_empty():
    buyer = Buyer("ada", math.nan, math.nan, 0.31, 0.0, "cart")
    assert re.search(r"ada\s+-\s+-\s+\S+ +31%\s+cart ", shown(replace(SNAPSHOT, buyers=(buyer,))))
