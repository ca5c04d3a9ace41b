"""The format Native for clients that name a protocol version, as Grafana's does; the engine knows only the plain one.

A plain block of one column is columns, rows, name, type, data. So what a client of a later version should get follows
from plain answers to each column alone.
"""

import urllib.error
import urllib.parse
import urllib.request

import pytest

pytestmark = pytest.mark.integration
INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
COLUMNS = [
    "number",
    "toInt8(number)",
    "number % 2 = 0",
    "toFloat32(number)",
    "toString(repeat('x', number * 100))",
    "toFixedString('ab', 4)",
    "toDate(number)",
    "toDate32(number)",
    "toDateTime(number)",
    "fromUnixTimestamp64Milli(toInt64(number), 'Europe/Berlin')",
    "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')",
    "toIPv4('127.0.0.1')",
    "toDecimal32(number, 2)",
    "toDecimal128(number, 20)",
    "CAST(number + 1 AS Enum8('a,(b)' = 1, 'it''s' = 2, '`' = 3))",
    "toNullable(number)",
    "nullIf(toString(number), '1')",
    "toLowCardinality(toString(number))",
    "toLowCardinality(if(number = 1, NULL, toString(number)))",
    "range(number)",
    "arrayMap(each -> toString(each), range(number))",
    "arrayMap(each -> range(each), range(number))",
    "arrayMap(each -> toLowCardinality(toString(each)), range(number))",
    "CAST([] AS Array(LowCardinality(String)))",
    "map('k', number, 'l', 2)",
    "(number, 'x', [toNullable(number)])",
    "CAST((number, 'x') AS Tuple(`a b,(` UInt64, c LowCardinality(String)))",
    "[(number, toLowCardinality('x')), (0, 'y')]",
    "toIntervalHour(number)",
    "NULL",
]


def ask(url, sql, **parameters):
    query = urllib.parse.urlencode({"default_format": "Native", **parameters})
    with urllib.request.urlopen(f"{url}/?{query}", data=sql.encode()) as answer:  # noqa: S310 - the test's own engine
        return answer.read()


def with_flag(column):
    """Put the byte for an ordinary serialization behind the type of a column with a short name."""
    end = 2 + column[0] + column[1 + column[0]]
    return column[:end] + b"\0" + column[end:]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_of_any_type_is_followed_by_its_neighbour(clickhouse, column):
    of_three, last = "FROM numbers(3)", "concat('end', toString(number)) AS z"
    first_alone, last_alone = (ask(clickhouse, f"SELECT {each} {of_three}")[2:] for each in (f"{column} AS a", last))
    both = ask(clickhouse, f"SELECT {column} AS a, {last} {of_three}", client_protocol_version="54460")
    assert both == INFO + b"\x02\x03" + with_flag(first_alone) + with_flag(last_alone)


def test_every_block_has_its_info(clickhouse):
    sql = "SELECT number AS a FROM numbers(100) SETTINGS max_block_size = 10"
    blocks = ask(clickhouse, sql, client_protocol_version="54460").split(INFO)
    assert len(blocks) > 5
    rows = [block[1] for block in blocks[1:]]
    assert sum(rows) == 100


@pytest.mark.parametrize("version", ["0", "54405"])
def test_a_client_of_an_older_protocol_gets_plain_blocks(clickhouse, version):
    assert ask(clickhouse, "SELECT 1 AS a", client_protocol_version=version) == b"\x01\x01\x01a\x05UInt8\x01"


def test_other_formats_are_not_touched(clickhouse):
    assert ask(clickhouse, "SELECT 1 FORMAT TSV", client_protocol_version="54460") == b"1\n"


@pytest.mark.parametrize(
    ("sql", "version", "code"),
    [
        ("SELECT sumState(1)", "54460", b"Code: 48"),
        ("SELECT 1", "new", b"Code: 72"),
        ("SELECT x", "54460", b"Code: 47"),
    ],
)
def test_what_cannot_be_answered_is_an_error_of_clickhouse(clickhouse, sql, version, code):
    with pytest.raises(urllib.error.HTTPError) as failure:
        ask(clickhouse, sql, client_protocol_version=version)
    assert failure.value.read().startswith(code)
    failure.value.close()
