"""Records of the forgotten that a sink reads again, and rows that are deleted by digest alone."""

import json
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from threading import Event, Thread

import pytest

from service.clickhouse import connect
from service.errors import UnavailableError
from service.forget import (
    REQUESTS_AT_ONCE,
    ROWS,
    STATES,
    Done,
    ForgetProducer,
    ForgetReader,
    Request,
    Requests,
    digest,
)
from service.kafka_settings import Topics
from sinks.blocks import Origin, Row, make_block
from sinks.erasing import RowEraser
from sinks.forgetting import Forgetting, Forgotten
from sinks.settings import SinkSettings
from streams.topics import create_topics
from tests.harness.records import recommendation_fields, score_fields
from tests.harness.waiting import eventually


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
    block = make_block(0, records, -1, origin(Forgotten(frozenset([sha256(b"a").digest()]), until=4)))
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


def left(client, table: str) -> list[tuple[str, int]]:
    query = f"SELECT user_id, count() FROM {table} GROUP BY user_id ORDER BY user_id"  # noqa: S608 - our own
    return [(str(user), int(rows)) for user, rows in client.query(query).result_rows]


def erased(eraser: RowEraser, *users: bytes) -> dict[bytes, dict[str, int]]:
    found = eraser.begin([digest(user) for user in users])
    eventually(lambda: not eraser.is_deleting(), "the end of the deletion")
    return found


@pytest.mark.integration
def test_rows_are_gone_from_every_table_that_has_shoppers_and_no_query_names_one(database, client):
    eraser = RowEraser(database)
    assert eraser.count([digest(b"u1"), digest(b"nobody")]) == {"recommendations": 3, "scores": 3}
    assert erased(eraser, b"u1", b"nobody") == {digest(b"u1"): {"recommendations": 3, "scores": 3}}
    for table in ("scores", "recommendations"):
        assert left(client, table) == [("u0", 3), ("u2", 3)]
    mutations = client.query("SELECT command FROM system.mutations WHERE database = currentDatabase()").result_rows
    assert len(mutations) == 2
    assert all("u1" not in str(command).replace(digest(b"u1").decode(), "") for (command,) in mutations)
    assert erased(eraser, b"u1") == {}


@pytest.mark.integration
def test_as_many_as_are_asked_for_together_fit_into_the_queries(database, client):
    many = [b"nobody-%d" % number for number in range(REQUESTS_AT_ONCE - 2)]
    found = erased(RowEraser(database), *many, b"u0", b"u2")
    assert found.keys() == {digest(b"u0"), digest(b"u2")}
    assert left(client, "scores") == [("u1", 3)]


class Killed(BaseException):
    """What no process survives."""


class FailingOnce(RowEraser):
    """Fails in the middle of the first deletion, or right after it."""

    def __init__(self, settings, failure: BaseException, *, after: bool) -> None:
        super().__init__(settings)
        self._failures, self._after = [failure], after

    def begin(self, digests):
        if not self._failures:
            return super().begin(digests)
        if self._after:
            super().begin(digests)
        else:
            self._tables = lambda client: RowEraser._tables(self, client)[:1]
            super().begin(digests)
            del self._tables
        raise self._failures.pop()


@pytest.fixture
def asking(kafka, topic_prefix):
    """The forget topic with requests of two calls whose states are gone, and nothing that has to be stored before."""
    config = {"bootstrap.servers": kafka}
    create_topics(config, topics := Topics(prefix=topic_prefix), partitions=1, replication_factor=1)
    producer = ForgetProducer(config, topics.forget, 1)
    producer.ask(b"u1", Request("one", 1))
    producer.ask(b"u2", Request("two", 2))
    producer.ask(b"u1", Request("two", 2))
    producer.tell(0, STATES, Done(2, {}, 3))
    producer.flush()
    return config, topics


def told(config, topics) -> Requests:
    requests = Requests()
    with closing(ForgetReader(config, topics.forget)) as reader:
        reader.update(requests, 0)
    return requests


@contextmanager
def forgetting(asking, rows: RowEraser, again_seconds: float = 600.0):
    """A sink's part that forgets, in a thread of its own, which may be killed."""
    config, topics = asking
    part, stop = (
        Forgetting(config, topics.forget, f"{topics.prefix}-sink-forget", {}, rows, again_seconds=again_seconds),
        Event(),
    )

    def run() -> None:
        with suppress(Killed):
            part.run(SinkSettings(session_timeout_seconds=6.0), stop)

    thread = Thread(target=run)
    thread.start()
    yield thread
    stop.set()
    thread.join()


@pytest.mark.integration
@pytest.mark.parametrize("after", [False, True], ids=["between two tables", "before it was said"])
@pytest.mark.parametrize("failure", [Killed(), UnavailableError("away")], ids=["killed", "clickhouse away"])
def test_what_is_half_forgotten_is_forgotten_by_whoever_comes_next(asking, database, client, failure, after):
    failing = FailingOnce(database, failure, after=after)
    if isinstance(failure, Killed):
        with forgetting(asking, failing) as thread:
            thread.join()
        assert told(*asking).pending(ROWS) == 3
    with forgetting(asking, failing):
        eventually(lambda: told(*asking).pending(ROWS) == 0, "the end of the rows")
    assert left(client, "scores") == left(client, "recommendations") == [("u0", 3)]


@pytest.mark.integration
def test_rows_are_counted_for_the_request_that_they_were_deleted_for(asking, database, client):
    insert_login(client, "u2", "a2")
    with forgetting(asking, RowEraser(database)):
        eventually(lambda: told(*asking).joined["two"], "the request for the joined id")
        eventually(lambda: told(*asking).pending(ROWS) == 1, "the end of the rows")
    requests = told(*asking)
    assert requests.removed(ROWS, "one") == {"scores": 3, "recommendations": 3}
    assert requests.removed(ROWS, "two") == {"scores": 4, "recommendations": 3}
    assert requests.joined["two"] == {digest(b"a2")}


class Late(RowEraser):
    """Stores a row of a shopper right before it is looked again."""

    def __init__(self, settings, client) -> None:
        super().__init__(settings)
        self._client, self._begun = client, 0

    def begin(self, digests):
        self._begun += 1
        if self._begun == 2:
            insert_login(self._client, "u1", "a1")
        return super().begin(digests)


@pytest.mark.integration
def test_a_row_that_came_late_from_a_worker_that_was_frozen_goes_too(asking, database, client):
    late = Late(database, client)
    with forgetting(asking, late, again_seconds=0.0):
        eventually(lambda: late._begun == 2 and left(client, "scores") == [("u0", 3)], "the end of the late row")


@pytest.mark.integration
def test_the_next_sink_looks_again_if_this_one_did_not(asking, database, client):
    with forgetting(asking, RowEraser(database)):
        eventually(lambda: told(*asking).pending(ROWS) == 0, "the end of the rows")
    insert_login(client, "u1", "a1")
    with forgetting(asking, RowEraser(database)):
        eventually(lambda: left(client, "scores") == [("u0", 3)], "the end of the late row")


def insert_login(client, user: str, anonymous_id: str) -> None:
    row = score_fields(0, 99, user_id=user, anonymous_id=anonymous_id, source_topic="events")
    client.raw_insert("scores", insert_block=json.dumps(row).encode(), fmt="JSONEachRow")


@pytest.mark.integration
def test_a_deletion_that_clickhouse_cannot_carry_out_is_told_and_not_asked_for_again(database, client):
    eraser = RowEraser(database)
    client.command(
        "ALTER TABLE scores DELETE WHERE throwIf(user_id = 'u1', 'full') OR lower(hex(SHA256(user_id))) IN ('x')",
        settings={"mutations_sync": 0},
    )
    with pytest.raises(UnavailableError, match=r"cannot delete rows of scores: see system\.mutations"):
        eventually(lambda: not eraser.is_deleting(), "the failure")
    client.command("KILL MUTATION WHERE database = currentDatabase()")
    assert not eraser.is_deleting()
