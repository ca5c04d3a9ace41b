import math
from dataclasses import replace
from io import StringIO

from rich.console import Console

from cartcast.demo.screen import LINE_SECONDS, REDRAW_SECONDS, LiveScreen, PlainScreen
from cartcast.demo.view import Buyer, Snapshot
from tests.harness.clock import Clock

NOW = Snapshot(elapsed_seconds=1, events=10, scores=9, rows=8, duplicates=0, dead_letters=0)


def test_plain_lines_come_now_and_then_and_at_the_end() -> None:
    lines: list[str] = []
    clock = Clock()
    with PlainScreen(lines.append, clock) as screen:
        screen.show(NOW)
        clock.now += LINE_SECONDS
        screen.show(NOW)
        screen.show(NOW)
        screen.finish(replace(NOW, note="done"))
    assert len(lines) == 2
    assert "10 events" in lines[0]
    assert lines[1].endswith("done")


def test_a_plain_line_names_the_likeliest_buyer_and_an_item_as_soon_as_they_are_known() -> None:
    lines: list[str] = []
    buyer = Buyer("ada", 0.64, 0.48, 0.31, 0.1, "cart")
    with PlainScreen(lines.append) as screen:
        screen.finish(NOW)
        screen.finish(replace(NOW, buyers=(buyer,)))
        screen.finish(replace(NOW, buyers=(replace(buyer, next_item="Acme boots"), buyer), note="done"))
        screen.finish(replace(NOW, buyers=(replace(buyer, propensity_24h=math.nan),)))
    ends = [line.partition("dead letters")[2].strip() for line in lines]
    assert ends == ["", "ada 64%", "ada 64%, next Acme boots  done", ""]


def test_the_live_view_is_redrawn_no_faster_than_the_eye() -> None:
    output, clock = StringIO(), Clock()
    console = Console(file=output, force_terminal=True, color_system=None, width=120)
    with LiveScreen(console, clock) as screen:
        screen.show(replace(NOW, rows=111))
        screen.show(replace(NOW, rows=222))
        clock.now += REDRAW_SECONDS
        screen.show(replace(NOW, rows=333))
    shown = output.getvalue()
    assert "111 rows" in shown
    assert "222 rows" not in shown
    assert "333 rows" in shown
