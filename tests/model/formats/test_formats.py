import gzip
import json
import os
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.events import Event
from model.formats import FORMATS, ROWS_BEFORE_GIVING_UP, Reading, guess_format, read_events
from model.formats.rows import MAX_LINE_BYTES, content_id
from model.formats.snowplow import COLUMNS
from model.validate import BadRow
from service.errors import FormatError

GOOD = b"1,20,300,pv,1511539217"
GOOD_ROWS = {
    "cartcast": json.dumps({"event_id": "e1", "user_id": "u1", "type": "view", "ts": 1511539217000}).encode(),
    "segment": b'{"type":"track","event":"Product Viewed","userId":"u","timestamp":"2017-11-24T16:00:17Z"}',
    "ga4": b'{"event_name":"view_item","user_pseudo_id":"u","event_timestamp":"1511539217000000"}',
    "posthog": b'{"uuid":"e","event":"Product Viewed","distinct_id":"u","timestamp":"2017-11-24T16:00:17Z"}',
    "snowplow": b"\t".join(
        {"event_id": b"e", "user_id": b"u", "event": b"page_view", "derived_tstamp": b"2017-11-24 16:00:17"}.get(
            name, b""
        )
        for name in COLUMNS
    ),
    "matomo": b'{"visitorId":"v","actionDetails":[{"type":"action","timestamp":1511539217,"productViewSku":"p"}]}',
    "shopify": b'{"Name":"#1","Email":"a@example.com","Created at":"2017-11-24 16:00:17 +0000","Lineitem name":"Hat"}',
    "taobao": GOOD,
    "rees46": b"2019-10-01 00:00:00 UTC,view,44600062,21038,,shiseido,35.79,541312140,72d76fde",
    "retailrocket": b"1433221332117,257597,view,355908,",
    "otto": b'{"session":0,"events":[{"aid":1517085,"ts":1659304800025,"type":"clicks"}]}',
}


@pytest.fixture
def read(tmp_path):
    def read(content: bytes, format_name: str = "taobao", **options):
        path = tmp_path / "events"
        path.write_bytes(content)
        return list(read_events(path, format_name, **options))

    return read


def good_row_of(format_name: str) -> bytes:
    return GOOD_ROWS[format_name]


@pytest.mark.parametrize("format_name", FORMATS)
class TestEveryFormat:
    def test_gzip_is_recognised_by_its_content_not_by_the_name(self, read, format_name):
        assert read(gzip.compress(good_row_of(format_name) + b"\n"), format_name) == read(
            good_row_of(format_name), format_name
        )

    def test_windows_line_ends_byte_order_mark_and_blank_lines_change_nothing(self, read, format_name):
        row = good_row_of(format_name)
        mark = b"\xef\xbb\xbf"
        assert read(mark + row + b"\r\n\r\n" + mark + row + b"\r\n", format_name) == read(
            row + b"\n" + row, format_name
        )

    @pytest.mark.parametrize("damage", [b"\xff\xfe", b"garbage", b"{", b"a\0b", b",,,,", b"[1]", b"\xed\xa0\x80" * 5])
    def test_a_damaged_row_is_reported_with_its_line_and_bytes(self, read, format_name, damage):
        row = good_row_of(format_name)
        first, bad, last = read(row + b"\n" + damage + b"\n" + row + b"\n", format_name)
        assert isinstance(first, Event)
        assert isinstance(bad, BadRow)
        assert isinstance(last, Event)
        assert (bad.line, bad.raw) == (2, damage)
        assert bad.reason
        assert bad.error

    def test_bad_rows_before_the_first_event_are_reported_too(self, read, format_name):
        rows = read(b"garbage\n" * 3 + good_row_of(format_name), format_name)
        assert [row.line for row in rows if isinstance(row, BadRow)] == [1, 2, 3]

    def test_strict_makes_a_bad_row_fatal_and_names_its_line(self, read, format_name):
        with pytest.raises(FormatError, match="line 2"):
            read(good_row_of(format_name) + b"\ngarbage\n", format_name, strict=True)

    def test_a_file_of_another_format_is_refused(self, read, format_name):
        with pytest.raises(FormatError, match="does not look like format"):
            read(b"a;b;c\n1;2;3\n", format_name)

    def test_a_long_file_of_another_format_is_refused_before_its_end(self, read, format_name):
        with pytest.raises(FormatError, match=f"first {ROWS_BEFORE_GIVING_UP} rows"):
            read(b"x\n" * (ROWS_BEFORE_GIVING_UP + 1) + good_row_of(format_name), format_name)

    def test_an_empty_file_is_refused(self, read, format_name):
        with pytest.raises(FormatError, match="empty"):
            read(b"", format_name)

    def test_a_file_of_blank_lines_is_refused(self, read, format_name):
        with pytest.raises(FormatError, match="no rows"):
            read(b"\n\n", format_name)

    def test_a_missing_file_and_a_directory_are_refused(self, tmp_path, format_name):
        for path in (tmp_path / "missing", tmp_path):
            with pytest.raises(FormatError, match="cannot be read"):
                list(read_events(path, format_name))

    def test_a_truncated_gzip_is_refused_after_its_last_whole_rows(self, tmp_path, format_name):
        path = tmp_path / "cut.gz"
        path.write_bytes(gzip.compress(b"\n".join([good_row_of(format_name)] * 50_000))[:-200])
        with pytest.raises(FormatError, match="damaged after line"):
            list(read_events(path, format_name))

    def test_an_endless_line_is_one_bad_row(self, read, format_name):
        row = good_row_of(format_name)
        _, bad, last = read(row + b"\n" + b"x" * (3 * MAX_LINE_BYTES) + b"\n" + row, format_name)
        assert len(bad.raw) == MAX_LINE_BYTES + 1
        assert isinstance(last, Event)

    def test_progress_reaches_the_size_of_the_file(self, tmp_path, format_name):
        path = tmp_path / "events"
        path.write_bytes((good_row_of(format_name) + b"\n") * 2000)
        seen = []
        list(read_events(path, format_name, reading=Reading(seen.append)))
        assert seen[-1] == path.stat().st_size

    @given(st.binary(max_size=300))
    def test_no_bytes_raise_anything_but_a_format_error(self, tmp_path_factory, format_name, content):
        path = tmp_path_factory.mktemp("fuzz") / "events"
        path.write_bytes(content)
        try:
            rows = list(read_events(path, format_name))
        except FormatError:
            return
        assert all(isinstance(row, Event | BadRow) for row in rows)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("other", FORMATS)
def test_no_format_is_taken_for_another_and_the_right_one_is_advised(read, format_name, other):
    content = (good_row_of(other) + b"\n") * 30
    if format_name == other:
        assert all(isinstance(row, Event) for row in read(content, format_name))
        return
    with pytest.raises(FormatError, match=f"it looks like --format {other}$"):
        read(content, format_name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"timestamp,visitorid,event,itemid,transactionid\n1433221332,1,view,7,\n",
         "format retailrocket, .*line 2: timestamp is in seconds, not in milliseconds"),
        (b"1,20,300,pv,1511539217000\n", "format taobao, .* ts is in milliseconds, not in seconds"),
        (b'{"event_id":"e","user_id":"u","type":"view","ts":1511539217}\n', "format cartcast, .* in seconds"),
        (b'{"session":1,"events":[{"aid":2,"ts":1659304800,"type":"clicks"}]}\n', "format otto, .* in seconds"),
        (b"event_time,event_type,product_id,user_id\n01.10.2019 00:01,view,7,1\n", "format rees46, .* event_time is"),
        (b"event_time,event_type,product_id,user_id\n2019-10-01 00:01:00,view,7,1,\n", "format rees46, .* 5 columns"),
        (b'{"user_id":"u","type":"view","ts":1511539217000}\n', "format cartcast, .* event_id is missing"),
        (b'{"type":"track","event":"Product Viewed","timestamp":"2017-11-24T16:00:17Z"}\n', "segment, .* is missing"),
        (b"{'event_id':'e','user_id':'u'}\n", "line 1: not JSON: .* double quotes"),
        (b'{"data":[' + GOOD_ROWS["segment"] + b"]}\n", r"""format segment deeper: .*jq -c '."data"\[\]' """),
        (json.dumps({"value": GOOD_ROWS["ga4"].decode()}).encode(), r"""format ga4 deeper: .*'."value" . fromjson' """),
        (b"a,b,c,d,e\nwho,what,when,where,how\n", "looks like none of"),
        (b"event_time,event_type,product_id,user_id\n", "holds no rows"),
        (b"\n\n", "holds no rows"),
        ("übermorgen,view,7,1\n".encode("latin-1") * 9, "is not UTF-8"),
        (b'{"a":1}\n', "looks like none of cartcast, .*: give --format, or begin a mapping"),
    ],
)  # fmt: skip
def test_where_no_row_is_an_event_the_format_it_comes_nearest_says_why(tmp_path, content, words):
    path = tmp_path / "events"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=words):
        guess_format(path)


def test_who_names_the_format_is_told_what_to_correct_in_it(read):
    with pytest.raises(FormatError, match=r"ts is in milliseconds, not in seconds\); correct that, or begin a mapping"):
        read(b"1,20,300,pv,1511539217000\n", "taobao")


def test_an_unknown_format_names_the_known_ones(tmp_path):
    with pytest.raises(FormatError, match="cartcast, segment, ga4, posthog"):
        read_events(tmp_path, "csv")


@given(st.lists(st.text()), st.lists(st.text()))
def test_a_content_id_is_that_of_its_fields_alone(left, right):
    if all("\x1f" not in field for field in left + right) and left and right:
        assert (content_id(*left) == content_id(*right)) == (left == right)


def test_a_pipe_is_read_like_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    line = b'{"event_id":"e","user_id":"u","type":"view","ts":1767571200000}\n'
    writer = Thread(target=lambda: pipe.write_bytes(line * 3000))
    writer.start()
    rows = list(read_events(pipe, "cartcast", reading=Reading(lambda _: None)))
    writer.join()
    assert len(rows) == 3000
