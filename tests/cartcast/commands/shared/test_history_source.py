import pytest

from cartcast.commands.shared.history_source import history_source, moment_ms
from model.events import Event
from service.errors import FormatError, UsageError

NOTHING = {
    "events": None, "format_name": None, "from_clickhouse": False, "since_ms": None, "until_ms": None, "strict": False,
}  # fmt: skip
LINE = b'{"event_id":"%d","user_id":"u","type":"view","ts":1700000000000}\n'


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing to read"),
        ({"format_name": "cartcast"}, "nothing to read"),
        ({"events": ["a.jsonl"]}, "nothing to read"),
        ({"events": ["a.jsonl"], "format_name": "fly"}, "--format fly: unknown"),
        ({"events": ["a.jsonl"], "format_name": "cartcast", "from_clickhouse": True}, "excludes"),
        ({"events": ["a.jsonl"], "format_name": "cartcast", "since_ms": 1}, "--from-clickhouse"),
        ({"from_clickhouse": True, "since_ms": 2_000_000_000_000, "until_ms": 1_900_000_000_000}, "not before"),
    ],
)
def test_options_that_contradict_each_other_or_name_no_source_are_wrong_usage(options, words):
    with pytest.raises(UsageError, match=words):
        history_source(None, **(NOTHING | options))


def test_a_missing_file_is_found_before_any_is_read(tmp_path):
    with pytest.raises(FormatError, match="nowhere"):
        history_source(None, **(NOTHING | {"events": [tmp_path / "nowhere"], "format_name": "cartcast"}))


def test_files_are_read_one_after_the_other_and_their_bad_rows_are_remembered(tmp_path):
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    files[0].write_bytes(LINE % 1 + b"damaged\n" + LINE % 2)
    files[1].write_bytes(LINE % 3 + b"damaged\n" * 12)
    source = history_source(None, **(NOTHING | {"events": files, "format_name": "cartcast"}))
    done = []
    rows = list(source.rows(done.append))
    assert [row.event_id for row in rows if isinstance(row, Event)] == ["1", "2", "3"]
    assert done[-1] == source.total == sum(file.stat().st_size for file in files)
    said = source.said_of_bad_rows()
    assert said[0].startswith("bad row: a.jsonl, line 2: ")
    assert said[1].startswith("bad row: b.jsonl, line 2: ")
    assert said[-1] == "bad rows: and 3 more"
    assert source.bad_rows == 13
