import io

import pytest
from rich.console import Console

from cartcast.commands.shared.explanation_source import Explained
from cartcast.commands.shared.explanation_view import draw
from streams.lookups.answers import AsOf, Attribution, ShopperExplanation, StoredEvent

HOUR_MS = 3_600_000


def explained(moves: list[float | None], user: str = "u", item: str = "sku-7", **changes) -> Explained:
    events = [
        Attribution(place * HOUR_MS, "cart", f"{place:016x}", len(moves) - 1 - place, {"24h": move}, {"24h": move})
        for place, move in enumerate(moves)
    ]
    answer = ShopperExplanation(
        user_id=user,
        model="lstm64-x",
        event=StoredEvent(events[-1].event_time, events[-1].type, events[-1].event_hash),
        propensity=changes.get("propensity", {"24h": 0.3712}),
        from_ring={"24h": 0.3698},
        earlier_events=changes.get("earlier", 0),
        events=events,
        as_of=AsOf("t", 0, 1),
    )
    return Explained(answer, changes.get("source", "worker"), "here", {f"{0:016x}": item} if item else {})


def shown(given: Explained, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(draw(given, "24h"))
    return console.file.getvalue()


def test_each_event_has_its_time_item_change_and_a_bar_to_its_side():
    lines = shown(explained([0.2, -0.1, 0.0]), 90).splitlines()
    assert "after cart of 1970-01-01 02:00:00 UTC" in lines[0]
    assert "published 0.3712" in lines[1]
    assert "From the 3 stored events alone: 0.3698" in lines[2]
    first, second, third = [line for line in lines if line.lstrip().startswith("1970")]
    assert "sku-7" in first
    assert "+0.2000" in first
    assert "│████████" in first
    assert "-0.1000" in second
    assert "    ████│" in second
    assert "█" not in third


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_the_terminal(width):
    assert max(map(len, shown(explained([0.2, -0.1], user="x" * 500, item="y" * 500), width).splitlines())) <= width


def test_a_single_event_and_older_ones_are_told():
    assert "nothing is left without it" in shown(explained([None]), 120)
    assert "From the only stored event alone: 0.3698" in shown(explained([None]))
    assert "1,234 older ones are not among them" in shown(explained([0.1, 0.2], earlier=1234))


def test_a_propensity_that_is_not_known_is_no_number():
    assert "published not known to the worker" in shown(explained([0.1, 0.2], propensity=None), 100)
    assert "published another model's" in shown(explained([0.1, 0.2], propensity=None, source="clickhouse"), 100)


@pytest.mark.parametrize("name", ["\x1b[31mred\x1b[2J", "[bold red]x[/]", "a\nb\tc\x00", "\u202eevil"])
def test_names_cannot_command_the_terminal(name):
    written = shown(explained([0.1, 0.2], user=name, item=name), 120)
    assert not set(written) & set("\x1b\t\x00\u202e")
    assert "[bold red]" in written or "[bold red]" not in name
