import gzip

import pytest

from cartcast.commands.shared.history_source import history_source, read_for_training
from model.events import Event
from model.shop import NO_SHOP, shop_of
from service.errors import FormatError, UsageError

NOTHING = {
    "events": None, "format_name": None, "from_clickhouse": False, "since_ms": None, "until_ms": None, "strict": False,
}  # fmt: skip
LINE = b'{"event_id":"%d","user_id":"u","type":"view","ts":1700000000000}\n'


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing to read"),
        ({"format_name": "cartcast"}, "nothing to read"),
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


def test_a_format_that_is_not_given_is_told_by_the_first_lines(tmp_path, capsys):
    files = [tmp_path / "a.jsonl", tmp_path / "b.csv"]
    files[0].write_bytes(LINE % 1 + b"damaged\n" + LINE % 2)
    source = history_source(None, **(NOTHING | {"events": files[:1]}))
    assert capsys.readouterr().err == "read as --format cartcast (a.jsonl: 2 events are in its first 3 lines)\n"
    assert len(list(source.rows(lambda _: None))) == 3
    files[1].write_bytes(b"1,2,3,pv,1511539217\n")
    with pytest.raises(FormatError, match="look like formats cartcast and taobao"):
        history_source(None, **(NOTHING | {"events": files}))
    files[0].write_bytes(b"a,b\n")
    with pytest.raises(FormatError, match=r"looks like none of .*: give --format"):
        history_source(None, **(NOTHING | {"events": files}))
    files[0].write_bytes(b"event_id,user_id,type,ts,ts\ne,u,view,1700000000000,1\n")
    with pytest.raises(FormatError, match="names column ts twice"):
        history_source(None, **(NOTHING | {"events": files}))


def test_what_is_odd_about_a_file_is_said(tmp_path):
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(LINE % 1) + b"\r\n")
    source = history_source(None, **(NOTHING | {"events": [file], "format_name": "cartcast"}))
    list(source.rows(lambda _: None))
    assert source.said_of_bad_rows()[0].startswith("a.jsonl.gz: 2 bytes behind the gzip data")


def test_a_definition_that_no_event_has_is_said_and_one_that_they_have_is_not(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_bytes(LINE % 1 + LINE % 2)
    source = history_source(None, **(NOTHING | {"events": [tmp_path / "a.jsonl"], "format_name": "cartcast"}))
    source.shop = shop_of({"types": {f"t{n}": "none" for n in range(7)}})
    read_for_training(source, 64, None)
    assert "7 of the shop's definition are in no event" in (said := capsys.readouterr().err)
    assert "types.t4, ...: compare" in said
    source.shop = NO_SHOP
    read_for_training(source, 64, None)
    assert "definition" not in capsys.readouterr().err
