import pytest

from cartcast.commands.shared.options import given, moment_ms
from service.errors import UsageError


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


@pytest.mark.parametrize("text", ["", "yesterday", "2017-12-01T08:00:00", "1512086400", "20171201", "1999-12-31"])
def test_what_is_no_time_is_wrong_usage(text):
    with pytest.raises(UsageError, match="is no time"):
        moment_ms(text)
