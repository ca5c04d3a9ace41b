import gzip
import json
import zlib

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cartcast.local.clickhouse_protocol import (
    BadRequestError,
    Summary,
    decompress,
    error_code,
    http_status,
    parse_statement,
    quoted,
    quoted_name,
)


def parsed(body=b"", headers=None, **parameters):
    return parse_statement(parameters, headers or {}, body, query_id="generated", read_only=False)


def test_the_statement_is_the_parameter_or_the_body_or_both_in_this_order():
    assert parsed(query="SELECT 1").sql == b"SELECT 1"
    assert parsed(b"SELECT 1").sql == b"SELECT 1"
    assert parsed(b"1,2", query="INSERT INTO t FORMAT CSV").sql == b"INSERT INTO t FORMAT CSV\n1,2"


def test_every_other_parameter_is_a_setting():
    statement = parsed(max_threads="1", database="d", param_x="5", query_id="q", wait_end_of_query="1")
    assert statement.settings == {"max_threads": "1"}
    assert statement.parameters == {"x": "5"}
    assert (statement.database, statement.query_id) == ("d", "q")


def test_a_setting_that_is_no_name_is_refused():
    with pytest.raises(BadRequestError, match="UNKNOWN_SETTING"):
        parsed(**{"max_threads = 1; DROP TABLE t": "1"})


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (b"SELECT 1", "TabSeparated"),
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"SELECT 1\nformat Native ;\n", "Native"),
        (b"SELECT 1 FORMAT CSV SETTINGS max_threads=1", "CSV"),
        (b"SELECT ' FORMAT JSON '", "TabSeparated"),
    ],
)
def test_the_format_is_the_one_that_the_statement_ends_with(sql, expected):
    assert parsed(sql).format == expected


def test_the_default_format_may_be_given_by_header_or_parameter():
    assert parsed(b"SELECT 1", {"X-ClickHouse-Format": "CSV"}).format == "CSV"
    assert parsed(b"SELECT 1", default_format="JSON").format == "JSON"


@pytest.mark.parametrize(
    ("sql", "streams"),
    [
        (b"SELECT 1 FORMAT Native", True),
        (b"-- why\n /* and how */ (select 1)", True),
        (b"WITH 1 AS x SELECT x FORMAT JSONEachRow", True),
        (b"SELECT 1 FORMAT JSON", False),
        (b"SELECT 1 FORMAT Parquet", False),
        (b"CREATE TABLE t (a Int8) ENGINE = Memory", False),
        (b"INSERT INTO t SELECT 1", False),
    ],
)
def test_only_queries_in_formats_without_header_and_footer_stream(sql, streams):
    assert parsed(sql).streams is streams


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2\n\n3,4", (b"t", b"", "CSV", b"1,2\n\n3,4")),
        (b"insert into d.t (a, b) format Native\n\n\x01", (b"d.t (a, b)", b"", "Native", b"\n\x01")),
        (b"INSERT INTO t VALUES (1, 'FORMAT x')", (b"t", b"", "Values", b" (1, 'FORMAT x')")),
        (b"INSERT INTO t SETTINGS a = 1, b = 'c' FORMAT CSV\n1", (b"t", b"a = 1, b = 'c'", "CSV", b"1")),
        (b"/* x */ INSERT INTO settings (values) VALUES(1)", (b"settings (values)", b"", "Values", b"(1)")),
    ],
)
def test_an_insert_is_taken_apart_from_its_data(sql, expected):
    insert = parsed(sql).insert_from()
    assert (insert.table, insert.settings, insert.format, insert.data) == expected


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT 1",
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"CREATE TABLE t (a Int8) ENGINE = Memory",
    ],
)
def test_what_brings_no_data_is_left_as_it_is(sql):
    assert parsed(sql).insert_from() is None


def test_the_data_is_read_from_a_file_with_the_same_settings():
    insert = parsed(b"INSERT INTO t (a) SETTINGS a = 1 FORMAT CSV\n1").insert_from()
    assert insert.sql("/x/it's") == b"INSERT INTO t (a) FROM INFILE '/x/it\\'s' SETTINGS a = 1 FORMAT CSV"


@given(st.lists(st.binary(), min_size=1, max_size=3))
def test_bodies_of_several_frames_are_decompressed_whole(parts):
    whole = b"".join(parts)
    assert decompress(whole, "") == whole
    assert decompress(b"".join(map(lz4.frame.compress, parts)), "lz4") == whole
    assert decompress(b"".join(map(zstandard.compress, parts)), "zstd") == whole
    assert decompress(b"".join(map(gzip.compress, parts)), "gzip") == whole
    assert decompress(zlib.compress(whole), "deflate") == whole


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", "deflate"])
def test_a_body_that_is_cut_off_or_not_compressed_is_refused(encoding):
    compress = {"lz4": lz4.frame.compress, "zstd": zstandard.compress, "gzip": gzip.compress, "deflate": zlib.compress}
    for body in (b"plain text", compress[encoding](b"a" * 1000)[:-5]):
        with pytest.raises(BadRequestError, match="Cannot decompress"):
            decompress(body, encoding)


def test_an_unknown_encoding_is_refused():
    with pytest.raises(BadRequestError, match="br is not supported"):
        decompress(b"", "br")


@pytest.mark.parametrize(
    ("message", "code", "status"),
    [
        ("Code: 60. DB::Exception: Table t does not exist", 60, 404),
        ("Code: 516. DB::Exception: x", 516, 403),
        ("Code: 27. DB::Exception: x", 27, 400),
        ("Code: 241. DB::Exception: memory", 241, 500),
        ("something else", 1002, 500),
    ],
)
def test_an_error_has_the_status_that_the_real_server_gives(message, code, status):
    assert error_code(message) == code
    assert http_status(code) == status


def test_the_summary_is_strings_as_clients_expect():
    summary = json.loads(Summary(written_rows=5, elapsed_seconds=0.5).header())
    assert summary["written_rows"] == "5"
    assert summary["elapsed_ns"] == "500000000"


def test_quoting():
    assert quoted("it's \\ x") == "'it\\'s \\\\ x'"
    assert quoted_name("a`b") == "`a\\`b`"
