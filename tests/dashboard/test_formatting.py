from datetime import UTC, datetime, timedelta

import pytest

from dashboard import config
from dashboard import formatting as words
from dashboard.cards import escaped
from dashboard.charts import theme
from dashboard.csv_export import as_csv
from dashboard.intervals import wilson
from dashboard.settings import Config, DashboardSettings
from service.clickhouse_settings import ClickHouseSettings


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.count(1234567), "1,234,567"),
        (words.count(None), "-"),
        (words.amount(12.345), "12.35"),
        (words.amount(12345.6), "12,346"),
        (words.amount(1_234_567), "1.23 M"),
        (words.percent(0.0423), "4.2 %"),
        (words.percent(None), "-"),
        (words.percent(float("nan")), "-"),
        (words.decimal(0.74321), "0.743"),
        (words.milliseconds(25.4), "25 ms"),
        (words.milliseconds(1234), "1.2 s"),
        (words.milliseconds(600_000), "10 min"),
        (words.moment(datetime(2026, 1, 5, 7, 4, tzinfo=UTC)), "5 Jan 2026, 07:04"),
        (words.plural(1, "shopper"), "1 shopper"),
        (words.plural(2000, "shopper"), "2,000 shoppers"),
    ],
)
def test_numbers_are_shown_as_a_reader_wants_them(shown, expected):
    assert shown == expected


@pytest.mark.parametrize("text", ["[x](javascript:alert(1))", "**b**", "<b>", "`c`", "$x$", ":smile:", "# h", "a_b_c"])
def test_markup_in_data_is_escaped(text):
    assert "".join(escaped(text).replace("\\", "").split("\u2060")) == text
    for sign in "[]()*<>`$:#_":
        assert escaped(text).count(f"\\{sign}") == text.count(sign)


@pytest.mark.parametrize("text", ["https://evil.example", "www.evil.example", "a@evil.example"])
def test_addresses_in_data_do_not_become_links(text):
    assert "\u2060" in escaped(text)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_takes_for_a_formula_gets_an_apostrophe(text):
    assert f"'{text}".encode() in as_csv([{"name": text}])


def test_a_table_is_saved_with_header_times_and_numbers_as_they_are():
    rows = [{"when": datetime(2026, 1, 5, tzinfo=UTC), "n": -1.5, "name": 'say "x", y', "none": None}]
    assert as_csv(rows).decode("utf-8-sig") == (
        'when,n,name,none\r\n2026-01-05T00:00:00+00:00,-1.5,"say ""x"", y",\r\n'
    )
    assert as_csv([]) == b"\xef\xbb\xbf"


def test_times_and_amounts_are_the_shops(monkeypatch):
    monkeypatch.setattr(
        config, "_configured", [Config(ClickHouseSettings(), DashboardSettings(time_zone="Asia/Tokyo", currency="JPY"))]
    )
    when = datetime(2026, 1, 5, 20, 4, tzinfo=UTC)
    assert words.period(when, when) == "6 Jan 2026, 05:04 to 6 Jan 2026, 05:04 Asia/Tokyo"
    assert words.amount(1_234_567) == "1.23 M JPY"
    assert theme.wall_clock_ms(when) == (when + timedelta(hours=9)).timestamp() * 1000


def test_an_interval_of_few_scores_is_wide():
    """Wilson's of 1 in 10 is 0.018 to 0.404 (Agresti and Coull, The American Statistician 52, 1998)."""
    assert wilson(1, 10) == pytest.approx((0.018, 0.404), abs=1e-3)
    assert wilson(0, 5)[0] == 0.0


def test_a_time_zone_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="Europe/Berlin"):
        DashboardSettings(time_zone="Middle/Earth")


def test_a_change_of_nothing_has_no_minus():
    assert words.change(9999, 10_000) == "+0.0 %" == words.change(5, 5)
    assert words.points(0.0401, 0.0404) == "+0.0 points"
    assert (words.change(98, 100), words.points(0.05, 0.04), words.change(1, 0)) == ("-2.0 %", "+1.0 points", None)
