"""Records of the forgotten that a sink reads again, and rows that are deleted by digest alone."""

import json

import pytest

from service.clickhouse import connect
from service.forget import digest
from sinks.blocks import Origin, Row, make_block
from sinks.erasing import RowEraser
from sinks.forgetting import Forgotten
from tests.harness.records import recommendation_fields, score_fields


class Record:
    def __init__(self, place: int, key: bytes) -> None:
        self._place, self._key = place, key

    def offset(self) -> int:
        return self._place

    def key(self) -> bytes:
        return self._key


def origin(forgotten: Forgotten) -> Origin:
    return Origin(("events", 0), lambda record: Row(record, record.offset()), lambda _: 100, forgotten)


def test_a_block_leaves_out_who_was_forgotten_when_the_partition_was_opened_and_keeps_its_name():
    records = [Record(place, key) for place, key in enumerate([b"a", b"b", b"a", b"c", b"a"])]
    block = make_block(0, records, -1, origin(Forgotten(frozenset([digest(b"a")]), until=4)))
    assert [row.source_offset for row in block.rows] == [1, 3, 4]
    assert (block.first, block.last, block.repeats, block.forgotten) == (0, 4, 0, 2)


@pytest.fixture
def client(database):
    client = connect(database, database=database.database)
    for table, fields in (("scores", score_fields), ("recommendations", recommendation_fields)):
        rows = [fields(0, place, user_id=f"u{place % 3}", source_topic="events") for place in range(9)]
        client.raw_insert(table, insert_block="\n".join(map(json.dumps, rows)).encode(), fmt="JSONEachRow")
    yield client
    client.close_connections()


@pytest.mark.integration
def test_rows_are_gone_from_every_table_that_has_shoppers_and_no_query_names_one(database, client):
    eraser = RowEraser(database)
    assert eraser.count([digest(b"u1"), digest(b"nobody")]) == {"recommendations": 3, "scores": 3}
    assert eraser.erase([digest(b"u1"), digest(b"nobody")]) == {"recommendations": 3, "scores": 3}
    for table in ("scores", "recommendations"):
        left = client.query(f"SELECT user_id, count() FROM {table} GROUP BY user_id ORDER BY user_id").result_rows  # noqa: S608
        assert left == [("u0", 3), ("u2", 3)]
    mutations = client.query("SELECT command FROM system.mutations WHERE database = currentDatabase()").result_rows
    assert len(mutations) == 2
    assert all("u1" not in str(command).replace(digest(b"u1").decode(), "") for (command,) in mutations)
    assert eraser.erase([digest(b"u1")]) == {"recommendations": 0, "scores": 0}
