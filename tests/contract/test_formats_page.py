"""docs/formats.md says what the readers do."""

import json
import re
from pathlib import Path

import pytest

from model.events import INPUT_FORMATS
from model.formats import FORMATS, ga4, segment

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()


def section(name: str) -> str:
    return re.split(r"\n##", PAGE.split(f"\n### {name}\n")[1])[0]


def table_rows(name: str) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section(name).splitlines() if "|" in line]
    return rows[2:]


def test_every_format_has_a_line_and_a_section():
    for name in FORMATS:
        assert f"| `{name}` |" in PAGE
        assert section(name)
    for name in set(INPUT_FORMATS) - {"cartcast"}:
        assert name in PAGE.split("## On the events topic")[1]


def test_segments_calls_have_the_types_of_the_page():
    named = {}
    for calls, event_type, *_ in table_rows("segment"):
        if not calls.startswith("every other"):
            named |= dict.fromkeys((call.strip() for call in calls.split(",")), event_type.strip("`"))
    assert {name.lower(): event_type for name, event_type in named.items()}.items() <= segment.TYPES.items()
    of_version_1 = {"viewed", "searched", "added", "removed", "started", "completed", "refunded"}
    assert {name for name in segment.TYPES if name.split()[0] not in of_version_1} == {name.lower() for name in named}


def test_ga4s_events_have_the_types_of_the_page():
    for name, event_type in ga4.TYPES.items():
        (row,) = [row for row in table_rows("ga4") if f"`{name}`" in row[0]]
        assert f"`{event_type}`" in row[1]


@pytest.mark.parametrize("name", ["Cart Viewed", "Order Cancelled"])
def test_calls_that_the_page_calls_other_are_other(name):
    call = {"type": "track", "event": name, "userId": "u", "timestamp": "2017-11-24T16:00:17Z"}
    (event,) = segment.FORMAT.read_rows(iter([(1, json.dumps(call).encode())]))
    assert (event.type, event.context) == ("other", {"event": name})
