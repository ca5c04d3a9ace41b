"""Events are the same whatever file they lie in; what cannot be read says what it is; damage is told at its line."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pyarrow as pa
import pytest
from pyarrow import feather, orc, parquet

from model.events import Event
from model.formats import Reading, read_events
from model.formats.containers import UNREADABLE
from service.errors import FormatError

LINES = [b"%d,20,300,pv,151153%04d" % (number % 50, number) for number in range(5000)]
TEXT = b"\n".join(LINES) + b"\n"


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def read(tmp_path):
    def read(content: bytes, format_name: str = "taobao", reading: Reading | None = None) -> list:
        path = tmp_path / "events"
        path.write_bytes(content)
        return list(read_events(path, format_name, reading=reading))

    return read


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(TEXT[:50_000]) + gzip.compress(TEXT[50_000:]),
        gzip.compress(TEXT) + b"\0" * 512,
        bz2.compress(TEXT),
        lzma.compress(TEXT),
        pa.compress(TEXT, "lz4", asbytes=True),
        pa.compress(TEXT[:50_000], "zstd", asbytes=True) + pa.compress(TEXT[50_000:], "zstd", asbytes=True),
        zipped(events=TEXT),
        zipped(**{"events.csv.gz": gzip.compress(TEXT), "__MACOSX/._events": b"x", "folder/": b""}),
        TEXT.decode().encode("utf-16"),
        b"\xfe\xff" + TEXT.decode().encode("utf-16-be"),
        TEXT.decode().encode("utf-32"),
        gzip.compress(TEXT.decode().encode("utf-16")),
        TEXT.replace(b"\n", b"\r"),
        TEXT.replace(b"\n", b"\r\n"),
    ],
)
def test_events_are_the_same_however_they_are_packed(read, content):
    reading = Reading()
    assert read(content, reading=reading) == read(TEXT)
    assert reading.notes == []


@pytest.mark.parametrize(("content", "format_name"), [(gzip.compress(TEXT), "taobao"), (lzma.compress(TEXT), "taobao")])
def test_what_follows_packed_data_is_left_out_and_said(read, content, format_name):
    reading = Reading()
    assert len(read(content + b"\r\n", format_name, reading)) == 5000
    (note,) = reading.notes
    assert "2 bytes behind the" in note
    with pytest.raises(FormatError, match=r"damaged after line 5000: what follows is not"):
        read(content + b"x" * 5000)


def test_damage_is_told_after_the_last_line_that_could_be_read(read):
    packed = gzip.compress(TEXT)
    with pytest.raises(FormatError, match=r"after line 5000: its checksum is wrong"):
        read(packed[:-8] + b"\1\2\3\4" + packed[-4:])
    with pytest.raises(FormatError, match=r"after line 4\d\d\d: the gzip file ends in the middle"):
        read(packed[:-100])
    with pytest.raises(FormatError, match=r"after line [1-4]\d\d\d: "):
        read(packed[: len(packed) // 2] + b"\xff" * 1000 + packed[len(packed) // 2 + 1000 :])
    packed = pa.compress(TEXT, "zstd", asbytes=True)
    for damaged in (packed[:-100], packed[:5000] + b"x" * 100 + packed[5100:], packed + b"x" * 5000):
        with pytest.raises(FormatError, match=r"damaged after line \d+: "):
            read(damaged)
    content = zipped(events=TEXT)
    with pytest.raises(FormatError, match=r"damaged after line .*CRC"):
        read(content.replace(content[14:18], b"\1\2\3\4"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *((magic + b"\0" * 600, what) for magic, what in UNREADABLE.items()),
        (zipped(a=TEXT, b=TEXT), "is a zip archive of 2 files"),
        (zipped(**{"[Content_Types].xml": b"", "xl/workbook.xml": b""}), "is a workbook"),
        (b"a.csv".ljust(257, b"\0") + b"ustar\0" + b"\0" * 300, "is a tar archive"),
        (TEXT.decode().encode("utf-16-le"), "UTF-16 without its mark: convert it with `iconv -f UTF-16LE"),
        (TEXT.decode().encode("utf-16-be"), "`iconv -f UTF-16BE"),
        (b"PAR1" + b"x" * 100, "is damaged after row 0"),
    ],
)
def test_what_is_no_text_says_what_it_is_and_what_to_do(read, content, words):
    with pytest.raises(FormatError) as refused:
        read(content)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("write", [parquet.write_table, feather.write_feather, orc.write_table])
def test_files_of_columns_are_read_by_the_columns_names(tmp_path, write):
    path = tmp_path / "events"
    columns = {
        "event_type": ["view", "purchase"],
        "event_time": pa.array([1569888000_000_000, None], pa.timestamp("us")),
        "user_id": [9223372036854775807, 5],
        "product_id": [44600062.0, float("nan")],
        "price": [33.2, 1.0],
    }
    write(pa.table(columns), path)
    event, bad = read_events(path, "rees46")
    assert isinstance(event, Event)
    assert (event.user_id, event.item_id, event.ts) == ("9223372036854775807", "44600062", 1569888000000)
    assert (bad.line, bad.reason) == (2, "event_time")


def test_a_column_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "events"
    parquet.write_table(pa.Table.from_arrays([pa.array(["1"]), pa.array(["2"])], ["user_id", "user_id"]), path)
    with pytest.raises(FormatError, match="names a column twice"):
        list(read_events(path, "rees46"))
    names = ["event_time", "event_type", "product_id", "user_id", "User ID"]
    parquet.write_table(pa.Table.from_arrays([pa.array(["1"])] * 5, names), path)
    with pytest.raises(FormatError, match="a column twice, in different spellings"):
        list(read_events(path, "rees46"))


def test_a_text_may_begin_like_a_file_of_columns(read):
    (event,) = read(b"ORCID,event_time,event_type,product_id,user_id\nx,2019-10-01 00:00:00 UTC,view,1,2\n", "rees46")
    assert event.user_id == "2"


def test_nested_columns_are_objects(tmp_path):
    path = tmp_path / "events"
    row = {
        "event_name": "purchase", "event_timestamp": 1511539217250000, "user_pseudo_id": "1.2",
        "event_params": [{"key": "ga_session_id", "value": {"string_value": None, "int_value": 7}}],
        "items": [{"item_id": "p1", "price": 5.0}], "ecommerce": {"transaction_id": "T1"},
    }  # fmt: skip
    parquet.write_table(pa.Table.from_pylist([row]), path)
    (event,) = read_events(path, "ga4")
    assert (event.event_id, event.item_id, event.context["session"]) == ("purchase:T1", "p1", "7")


def test_nanoseconds_are_read_too(tmp_path):
    path = tmp_path / "events"
    rows = {"timestamp": pa.array([1433221332117123457], pa.timestamp("ns")), "event": ["view"]}
    parquet.write_table(pa.table(rows | {"visitorid": [1], "itemid": [2]}), path)
    (event,) = read_events(path, "retailrocket")
    assert event.ts == 1433221332117


CALLS = [
    {"type": "track", "event": "Product Viewed", "messageId": f"m{number}", "userId": 'a } "u', "timestamp": time}
    for number, time in enumerate(["2017-11-24T16:00:17Z"] * 3)
]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CALLS),
        json.dumps(CALLS, indent=1),
        "\n".join(json.dumps(call, indent=2) for call in CALLS),
        "".join(json.dumps(call) for call in CALLS),
        "\n".join(json.dumps([call]) for call in CALLS),
    ],
)
def test_objects_need_not_lie_on_a_line_each(read, text):
    assert read(text.encode(), "segment") == read("\n".join(map(json.dumps, CALLS)).encode(), "segment")


def test_in_an_array_bad_rows_have_the_line_on_which_they_begin_and_an_end_is_missed(read):
    text = json.dumps([CALLS[0], {"type": "track"}, 5, CALLS[1]], indent=1).encode()
    rows = read(text, "segment")
    assert [(row.line, row.reason) for row in rows if not isinstance(row, Event)] == [(9, "event"), (12, "object")]
    with pytest.raises(FormatError, match="the array does not end"):
        read(text[:-1], "segment")


def test_a_large_array_is_read_in_pieces(read):
    text = json.dumps([call | {"messageId": f"m{number}"} for number in range(2000) for call in CALLS])
    assert len(read(text.encode(), "segment")) == 6000


def test_an_array_over_lines_is_of_no_table_format(read):
    text = json.dumps(CALLS, indent=2).encode()
    with pytest.raises(FormatError, match=r"does not look like format rees46: .* --format segment$"):
        read(text, "rees46")


def test_text_of_another_encoding_says_how_to_convert_it(read):
    with pytest.raises(FormatError, match=r"is not UTF-8 \(line 1: .*iconv -f WINDOWS-1252"):
        read("1,2,Bäcker,pv,1511539217\n".encode("cp1252"))


def test_a_field_may_be_as_long_as_a_line(read):
    header, row = b"event_time,event_type,product_id,user_id,x\n", b'2019-10-01 00:00:00 UTC,view,1,2,"%b"'
    (event,) = read(header + row % (b"x" * 200_000), "rees46")
    assert event.user_id == "2"
