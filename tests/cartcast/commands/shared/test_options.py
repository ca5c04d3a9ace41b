import time

import pytest
import typer

from cartcast.commands.shared.options import given, moment_ms


def test_flags_that_were_not_given_are_left_out():
    assert given(partitions=None, topic_prefix="", device="cpu") == {"topic_prefix": "", "device": "cpu"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2017-12-01", 1_512_086_400_000),
        ("2017-12-01T08:00:00+08:00", 1_512_086_400_000),
        ("2017-12-01 00:00:00.5Z", 1_512_086_400_500),
        ("1512086400000", 1_512_086_400_000),
    ],
)
def test_a_time_is_a_day_in_utc_a_moment_with_an_offset_or_milliseconds(text, moment):
    assert moment_ms(text) == moment


@pytest.mark.parametrize(
    ("text", "ago_ms"), [("90s", 90_000), ("15m", 900_000), ("1h", 3_600_000), ("7d", 604_800_000)]
)
def test_a_time_may_be_how_long_ago(text, ago_ms):
    assert moment_ms(text) == pytest.approx(time.time() * 1000 - ago_ms, abs=10_000)


def test_seconds_for_milliseconds_are_told_as_such():
    with pytest.raises(typer.BadParameter, match="these are seconds"):
        moment_ms("1512086400")


@pytest.mark.parametrize("text", ["1w", "-1h", "1.5h", "999999999d", "1H"])
def test_what_is_no_span_is_wrong_usage(text):
    with pytest.raises(typer.BadParameter, match="is no time"):
        moment_ms(text)


@pytest.mark.parametrize("text", ["", "yesterday", "2017-12-01T08:00:00", "1512086400", "20171201", "1999-12-31"])
def test_what_is_no_time_is_wrong_usage(text):
    with pytest.raises(typer.BadParameter, match="is no time"):
        moment_ms(text)
