"""What happened, from a file and from the data."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from dashboard import annotations, config
from dashboard.annotations import Annotation, noted
from dashboard.charts import pipeline, theme
from dashboard.queries.range import Range, stored_span
from dashboard.settings import Config, DashboardSettings
from service.errors import FormatError

BERLIN = ZoneInfo("Europe/Berlin")


def test_a_file_says_what_happened_when(tmp_path):
    path = tmp_path / "notes.csv"
    path.write_text('\ufefftime,text\n2026-01-06T09:00,"Release 2, at last"\n2026-01-07 10:00:00Z,Sale\n\n')
    release, sale = noted(path, BERLIN)
    assert release == Annotation(datetime(2026, 1, 6, 8, tzinfo=UTC), "Release 2, at last")
    assert sale == Annotation(datetime(2026, 1, 7, 10, tzinfo=UTC), "Sale")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("when,what\n", "needs the header time,text"),
        ("", "no CSV file"),
        ("time,text\n2026-01-06,Sale\nyesterday,Sale\n", "line 3 is not a time"),
        ("time,text\n2026-01-06\n", "line 2 is not a time"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_line(tmp_path, text, said):
    path = tmp_path / "notes.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=said):
        noted(path, BERLIN)
    with pytest.raises(FormatError, match="cannot be read"):
        noted(tmp_path / "none.csv", BERLIN)


@pytest.mark.integration
def test_a_new_model_is_told_by_the_data(shop, tmp_path, monkeypatch):
    stored = stored_span(shop.database)
    switched = min(row["event_time"] for row in shop.rows if row["model"] == "steep-2") // 3_600_000 * 3600
    path = tmp_path / "notes.csv"
    path.write_text(f"time,text\n{stored.first.isoformat()},Opened\n1999-01-01,Long ago\n")
    monkeypatch.setattr(config, "_configured", [Config(shop.source, DashboardSettings(annotations=path))])
    found = annotations.within(shop.database, Range.covering(stored.first, stored.last))
    assert found == [
        Annotation(stored.first, "Opened"),
        Annotation(datetime.fromtimestamp(switched, UTC), "model steep-2"),
    ]
    last_scored = datetime.fromtimestamp(max(row["scored_at"] for row in shop.rows) / 1000, UTC)
    (switch,) = annotations.within(shop.database, Range.last_hours(2, last_scored), scoring=True)
    first_ms = min(row["scored_at"] for row in shop.rows if row["model"] == "steep-2")
    assert switch == Annotation(datetime.fromtimestamp(first_ms / 1000, UTC), "model steep-2")
    chart = theme.annotated(pipeline.lag([], Range.covering(stored.first, stored.last).step), found)
    assert "Opened" in str(chart.to_dict()["datasets"])
