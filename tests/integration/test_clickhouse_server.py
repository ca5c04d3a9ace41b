"""The engine behind HTTP, as stock clients see it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import clickhouse_connect
import lz4.frame
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from tests.harness.ports import new_port
from tests.harness.sink_process import Engine

CURL = shutil.which("curl") or "curl"
ENDLESS = "SELECT count() FROM system.numbers WHERE sleep(0.01)"
pytestmark = pytest.mark.integration


@pytest.fixture
def client(clickhouse, topic_prefix):
    """A stock client in a database of its own with an empty table `t`."""
    clickhouse_connect.get_client(dsn=clickhouse).command(f"CREATE DATABASE {topic_prefix}")
    client = clickhouse_connect.get_client(dsn=f"{clickhouse}/{topic_prefix}")
    client.command(
        "CREATE TABLE t (a UInt64, s LowCardinality(String), n Nullable(Float64), CONSTRAINT rule CHECK a != 666666) "
        "ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    )
    yield client
    client.command(f"DROP DATABASE {topic_prefix}")


def count(client):
    return client.command("SELECT count() FROM t")


@pytest.mark.parametrize("compress", [True, False, "lz4", "zstd", "gzip"])
def test_rows_go_in_and_out_with_every_compression_of_the_client(client, clickhouse, compress):
    mine = clickhouse_connect.get_client(dsn=f"{clickhouse}/{client.database}", compress=compress)
    rows = [(number, "é", None if number % 2 else 0.5) for number in range(3000)]
    assert mine.insert("t", rows, column_names=["a", "s", "n"]).written_rows == 3000
    assert mine.query("SELECT a, s, n FROM t ORDER BY a").result_rows == rows


def test_native_data_with_bytes_that_look_like_an_empty_line_arrives_whole(client):
    rows = [(0x0A0A0A0A, "\n\n", None)] * 10
    client.insert("t", rows, column_names=["a", "s", "n"])
    assert client.query("SELECT a, s, n FROM t").result_rows == rows


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_raw_data_goes_in_and_an_empty_line_does_not_end_it(client, compression):
    data = b'{"a":1,"s":"x"}\n\n\n{"a":2}\n'
    block = lz4.frame.compress(data) if compression else data
    client.raw_insert("t", ["a", "s"], block, fmt="JSONEachRow", compression=compression)
    assert client.query("SELECT a, s FROM t ORDER BY a").result_rows == [(1, "x"), (2, "")]


def test_a_repeated_token_is_dropped(client):
    for number in (1, 2):
        settings = {"insert_deduplication_token": "same"}
        client.raw_insert("t", ["a"], b'{"a":%d}' % number, fmt="JSONEachRow", settings=settings)
    assert client.query("SELECT a FROM t").result_rows == [(1,)]


def test_settings_of_one_request_do_not_reach_the_next(client):
    client.raw_insert("t", ["a"], b'{"a":1}', fmt="JSONEachRow", settings={"insert_deduplication_token": "x"})
    assert client.command("SELECT getSetting('insert_deduplication_token')") == ""


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"nonsense", 27),
        (b'{"a":"x"}', 27),
        (b'{"a":1}\n{"a":666666}', 469),
        (b'{"a":1}\n\xff\xfe', 27),
        (b'{"a":1', 33),
    ],
)
def test_data_that_the_table_cannot_take_is_refused_with_the_engines_code_and_not_stored(client, data, code):
    with pytest.raises(DatabaseError) as failure:
        client.raw_insert("t", ["a"], data, fmt="JSONEachRow")
    assert failure.value.code == code
    assert count(client) == 0


@pytest.mark.parametrize(("sql", "code"), [("SELECT 1 FROM nowhere", 60), ("SELEC 1", 62), ("SELECT throwIf(1)", 395)])
def test_a_statement_that_fails_gives_the_engines_code(client, sql, code):
    with pytest.raises(DatabaseError) as failure:
        client.query(sql)
    assert failure.value.code == code


def test_a_query_that_fails_after_its_first_block_breaks_the_answer_off(client):
    stream = client.query_row_block_stream("SELECT throwIf(number = 900000) FROM numbers(1000000)")
    with stream as blocks, pytest.raises(OperationalError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
        list(blocks)


def test_a_large_answer_is_streamed(client):
    with client.query_row_block_stream("SELECT number FROM numbers(1000000)") as blocks:
        assert sum(len(block) for block in blocks) == 1_000_000


def test_formats_with_header_and_footer_are_one_document(clickhouse):
    client = clickhouse_connect.get_client(dsn=clickhouse)
    answer = client.raw_query("SELECT number FROM numbers(200000)", fmt="JSONCompact")
    assert len(json.loads(answer)["data"]) == 200_000
    assert client.query_arrow("SELECT number FROM numbers(200000)").num_rows == 200_000


def test_parameters_are_bound(client):
    assert client.query("SELECT {a:UInt8} + 1, {s:String}", parameters={"a": 3, "s": "it's\t\\"}).first_row == (
        4,
        "it's\t\\",
    )


def test_parameters_may_come_as_a_form(clickhouse):
    mine = clickhouse_connect.get_client(dsn=clickhouse, form_encode_query_params=True)
    assert mine.query("SELECT {s:String}", parameters={"s": "x" * 100_000}).first_row == ("x" * 100_000,)


def test_what_is_empty_is_empty(client):
    assert client.query("SELECT a FROM t").result_rows == []
    assert client.query("SELECT a, s FROM t LIMIT 0").column_names == ("a", "s")


def test_readers_see_whole_blocks_while_a_writer_writes(client, clickhouse):
    torn = []
    written = threading.Event()

    def read():
        mine = clickhouse_connect.get_client(dsn=f"{clickhouse}/{client.database}")
        while not written.is_set():
            if count(mine) % 1000:
                torn.append(count(mine))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for block in range(20):
        client.insert("t", [[block, "x", None]] * 1000, column_names=["a", "s", "n"])
    written.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert count(client) == 20_000


def curl(*arguments):
    answer = subprocess.run([CURL, "-s", "-i", *arguments], capture_output=True, check=True, text=True)
    head, _, body = answer.stdout.partition("\n\n")
    return int(head.split()[1]), head, body


def test_curl_asks_by_body_and_by_address(clickhouse):
    assert curl(clickhouse, "-d", "SELECT 1")[::2] == (200, "1\n")
    assert curl(f"{clickhouse}/?query=SELECT%202%20FORMAT%20CSV")[::2] == (200, "2\n")
    assert curl("-X", "POST", f"{clickhouse}/?query=SELECT%203")[::2] == (200, "3\n")
    assert curl(f"{clickhouse}/ping")[::2] == (200, "Ok.\n")
    assert curl(clickhouse)[::2] == (200, "Ok.\n")


def test_get_only_reads(clickhouse):
    status, head, body = curl(f"{clickhouse}/?query=CREATE%20TABLE%20z%20(a%20Int8)%20ENGINE%3DMemory")
    assert status == 500
    assert "X-ClickHouse-Exception-Code: 164" in head
    assert "READONLY" in body


@pytest.mark.parametrize(("query", "code"), [("nosuch=1", 115), ("database=nosuch", 81)])
def test_an_unknown_setting_or_database_is_refused(clickhouse, query, code):
    status, head, _ = curl(f"{clickhouse}/?{query}", "-d", "SELECT 1")
    assert status == 404
    assert f"X-ClickHouse-Exception-Code: {code}" in head


@pytest.fixture
def guarded(tmp_path):
    (tmp_path / "password").write_text("secret\n")
    arguments = ("--user", "analyst", "--password-file", str(tmp_path / "password"))
    engine = Engine(tmp_path / "engine", new_port(), *arguments)
    yield engine
    assert engine.stop() == 0


def test_only_the_right_user_and_password_get_in(guarded):
    right = [
        ["-u", "analyst:secret"],
        ["-H", "X-ClickHouse-User: analyst", "-H", "X-ClickHouse-Key: secret"],
    ]
    wrong = [[], ["-u", "analyst:wrong"], ["-u", "default:secret"], ["-H", "Authorization: Basic !"]]
    for credentials in right:
        assert curl(guarded.url, "-d", "SELECT 1", *credentials)[::2] == (200, "1\n")
    for credentials in wrong:
        status, head, _ = curl(guarded.url, "-d", "SELECT 1", *credentials)
        assert status == 403
        assert "X-ClickHouse-Exception-Code: 516" in head
    assert curl(f"{guarded.url}/?user=analyst&password=secret", "-d", "SELECT 1")[0] == 200


def test_two_authorization_headers_are_refused(guarded):
    both = ["-H", "Authorization: Basic YW5hbHlzdDpzZWNyZXQ=", "-H", "Authorization: Basic eA=="]
    status, head, _ = curl(guarded.url, "-d", "SELECT 1", *both)
    assert (status, "X-ClickHouse-Exception-Code: 516" in head) == (403, True)


@pytest.mark.parametrize(
    "header",
    ["Host: evil.example", "Host: evil.example:8123", "Origin: http://evil.example", "Origin: null",
     "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Sec-Fetch-Site: same-origin"],
)  # fmt: skip
def test_requests_of_web_pages_are_refused(clickhouse, header):
    status, head, _ = curl(f"{clickhouse}/?query=SELECT%201", "-H", header)
    assert (status, "X-ClickHouse-Exception-Code: 497" in head) == (403, True)


@pytest.mark.parametrize("header", ["Host: localhost:1", "Host: [::1]", "Sec-Fetch-Site: none"])
def test_addresses_of_this_machine_typed_into_a_browser_are_not(clickhouse, header):
    assert curl(f"{clickhouse}/?query=SELECT%201", "-H", header)[0] == 200


SECRET = "known to nobody"  # noqa: S105 - what the file below holds
OUTSIDE = [
    "SELECT file('{path}')",
    "SELECT `f\\x69le`('{path}')",
    "SELECT \"file\"/* a /* b */ c */('{path}')",
    "SELECT arrayMap(file, ['{path}'])",
    "SELECT * APPLY file FROM (SELECT '{path}')",
    "CREATE FUNCTION {database}_read AS path -> file(path)",
    "SELECT * FROM file('{path}', 'LineAsString')",
    "SELECT * FROM default.`{path}`",
    "SELECT * FROM (SELECT * FROM file('{path}', 'LineAsString'))",
    "DESCRIBE TABLE file('{path}')",
    "SELECT 1; SELECT file('{path}')",
    "INSERT INTO {database}.t (s) FROM INFILE '{path}' FORMAT LineAsString",
    "INSERT INTO {database}.t (s) FROM/**/INFILE '{path}' FORMAT LineAsString -- FORMAT CSV\n",
    "INSERT INTO FUNCTION file('{path}.new', 'TSV', 's String') VALUES ('x')",
    "SELECT 1 INTO OUTFILE '{path}.new'",
    "SELECT 1 INTO/**/OUTFILE '{path}.new'",
    "CREATE TABLE {database}.f (s String) ENGINE = File(LineAsString, '{path}')",
    "CREATE TABLE {database}.f AS file('{path}', 'LineAsString')",
    "CREATE TABLE {database}.f (a UInt8) ENGINE = EmbeddedRocksDB(0, '{path}.new') PRIMARY KEY a",
    (
        "CREATE TABLE {database}.f (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = object_storage, "
        "object_storage_type = local, metadata_type = local, path = '{path}.new/')"
    ),
    "CREATE DATABASE {database}_files ENGINE = Filesystem('/')",
    "CREATE DATABASE {database}_lite ENGINE = SQLite('{path}.new')",
    (
        "CREATE DICTIONARY {database}.d (a UInt64) PRIMARY KEY a SOURCE(FILE(path '{path}' format 'TSV')) "
        "LAYOUT(FLAT()) LIFETIME(0)"
    ),
    "BACKUP TABLE {database}.t TO File('{path}.new')",
    "SELECT 1 FORMAT Template SETTINGS format_template_resultset = '{path}'",
    "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')",
    "SELECT * FROM s3('http://127.0.0.1:9/bucket/x', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1:9', 'system.one')",
    "SELECT * FROM mysql('127.0.0.1:9', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:9', 'a', 'b', 'c', 'd')",
    "SELECT * FROM mongodb('127.0.0.1:9', 'a', 'b', 'c', 'd', 's String')",
    "SELECT * FROM redis('127.0.0.1:9', 'k', 'k String')",
    "SELECT * FROM jdbc('jdbc:x', 'a', 'b')",
    "SELECT * FROM odbc('DSN=x', 'a', 'b')",
    "SELECT * FROM sqlite('{path}', 't')",
    "SELECT * FROM executable('cat', 'TSV', 's String')",
    "SELECT * FROM Python(SECRET)",
    "CREATE TABLE {database}.f (s String) ENGINE = URL('http://127.0.0.1:9/', 'TSV')",
    "CREATE TABLE {database}.f (s String) ENGINE = Kafka('127.0.0.1:9', 't', 'g', 'TSV')",
    "CREATE DATABASE {database}_my ENGINE = MySQL('127.0.0.1:9', 'a', 'b', 'c')",
    "CREATE USER {database}_user",
    "GRANT SOURCES ON *.* TO default",
    "SET dialect = 'kusto'",
]


@pytest.mark.parametrize("sql", OUTSIDE)
def test_nothing_outside_the_engine_is_read_or_written(client, clickhouse, tmp_path, sql):
    path = tmp_path / "secret"
    path.write_text(SECRET)
    status, head, body = curl(clickhouse, "--data-binary", sql.format(path=path, database=client.database))
    code = re.search(r"Exception-Code: (\d+)", head)
    assert (status >= 400, SECRET in body, [each.name for each in tmp_path.iterdir()]) == (True, False, ["secret"])
    assert code is not None
    assert code[1] in {"497", "452", "62"}  # denied, a setting that stays, several statements in one
    assert count(client) == 0


def test_a_function_cannot_be_named_by_a_parameter(clickhouse, tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    asked = f"{clickhouse}/?param_f=file"
    status, _, body = curl(asked, "-d", f"SELECT arrayMap({{f:Identifier}}, ['{tmp_path}/secret'])")
    assert (status, SECRET in body) == (403, False)


@pytest.mark.parametrize("sql", ["SELECT 'file(1) INTO OUTFILE'", "SELECT 1 -- file('x')\n", "SELECT {p:String}"])
def test_words_of_texts_and_comments_are_not_taken_for_functions(clickhouse, sql):
    assert curl(f"{clickhouse}/?param_p=python", "--data-binary", sql)[0] == 200


@pytest.mark.parametrize(("letters", "status"), [(150_000, 200), (300_000, 400)])
def test_a_statement_longer_than_the_engine_reads_is_refused_as_it_would_be(clickhouse, tmp_path, letters, status):
    (tmp_path / "statement").write_text(f"SELECT '{letters * 'x'}'")
    assert curl(clickhouse, "--data-binary", f"@{tmp_path}/statement")[0] == status


def test_a_config_file_of_the_current_folder_is_not_the_engines(tmp_path):
    (tmp_path / "config.xml").write_text("<clickhouse><default_database>elsewhere</default_database></clickhouse>")
    process = server(tmp_path / "engine", 0, stdin=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout.readline().startswith("ready")
    process.communicate()
    assert process.returncode == 0


def test_after_a_kill_the_data_is_there_and_a_running_query_ends_at_a_stop(tmp_path):
    engine = Engine(tmp_path / "engine", new_port())
    client = clickhouse_connect.get_client(dsn=engine.url)
    client.command("CREATE DATABASE shop")
    client.command("CREATE TABLE shop.t (a UInt64) ENGINE = MergeTree ORDER BY a")
    client.insert("shop.t", [[1]], column_names=["a"])
    engine.kill()
    engine.start()
    assert count(clickhouse_connect.get_client(dsn=f"{engine.url}/shop")) == 1
    failures = []

    def endless():
        try:
            clickhouse_connect.get_client(dsn=engine.url).query(ENDLESS)
        except DatabaseError as failure:
            failures.append(failure)

    query = threading.Thread(target=endless)
    query.start()
    running = f"SELECT count() FROM system.processes WHERE startsWith(query, '{ENDLESS}')"  # noqa: S608
    while not client.command(running):
        pass
    assert engine.stop() == 0
    query.join()
    assert len(failures) == 1


def server(tmp_path, port, **pipes):
    command = [sys.executable, "-m", "cartcast.local.clickhouse_server", "--path", str(tmp_path), "--port", str(port)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **pipes)


def test_the_server_ends_with_the_process_that_holds_its_stdin(tmp_path):
    process = server(tmp_path, 0, stdin=subprocess.PIPE)
    assert process.stdout.readline().startswith("ready")
    process.communicate()
    assert process.returncode == 0


def test_without_a_pipe_the_server_stays_until_ctrl_c(tmp_path):
    process = server(tmp_path, 0, stdin=subprocess.DEVNULL)
    assert process.stdout.readline().startswith("ready")
    os.kill(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode == 0


def test_a_port_that_is_taken_is_one_clear_line(tmp_path, clickhouse):
    process = server(tmp_path, int(clickhouse.rsplit(":", 1)[1]), stdin=subprocess.DEVNULL)
    _, said = process.communicate()
    assert process.returncode == 1
    assert said.startswith("cartcast: ClickHouse cannot listen on 127.0.0.1:")
    assert said.count("\n") == 1


def test_a_directory_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").touch()
    process = server(tmp_path / "file", 0, stdin=subprocess.DEVNULL)
    _, said = process.communicate()
    assert process.returncode == 1
    assert said.startswith("cartcast: the ClickHouse engine cannot write to ")
    assert said.count("\n") == 1
