import pytest
from confluent_kafka import KafkaException

from model.sequence import new_sequences
from service.errors import RefusedError
from streams.changelog import PartitionReader
from streams.records.writer import OutputRecord
from tests.streams.mock_topics import write

PARTITION = 1


def state(offset: int) -> bytes:
    """A sequence that has seen its source up to an offset."""
    sequence = new_sequences(1)
    sequence["offset"] = offset
    return sequence.tobytes()


@pytest.fixture
def reader(mock_kafka):
    reader = PartitionReader(mock_kafka)
    yield reader
    reader.close()


@pytest.fixture
def put(mock_kafka, topic_prefix):
    def put(*pairs: tuple[bytes | None, bytes | None], partition: int = PARTITION) -> None:
        write(mock_kafka, topic_prefix, partition, [OutputRecord(key, value) for key, value in pairs])

    return put


def restored(reader: PartitionReader, topic: str) -> dict[bytes, bytes]:
    return reader.restore(topic, PARTITION, lambda *_: None)


def test_every_users_newest_state_is_restored(reader, put, topic_prefix):
    put((b"a", state(1)), (b"b", state(2)), (b"a", state(3)), (b"b", state(4)), (b"c", state(5)))
    assert restored(reader, topic_prefix) == {b"a": state(3), b"b": state(4), b"c": state(5)}


def test_a_tombstone_removes_a_user_and_a_record_without_a_key_is_nobodys(reader, put, topic_prefix):
    put((b"a", state(1)), (b"b", state(2)), (b"a", None), (None, state(3)), (b"c", None), (b"d", b""))
    assert restored(reader, topic_prefix) == {b"b": state(2)}


def test_only_the_named_partition_is_read(reader, put, topic_prefix):
    put((b"a", state(1)))
    put((b"b", state(1)), partition=PARTITION + 1)
    assert restored(reader, topic_prefix).keys() == {b"a"}


def test_an_empty_partition_restores_nothing(reader, put, topic_prefix):
    put((b"a", state(1)), partition=PARTITION + 1)
    assert restored(reader, topic_prefix) == {}
    assert list(reader.backwards(topic_prefix, PARTITION)) == []
    assert reader.bounds(topic_prefix, PARTITION)[1] == 0


def test_a_restore_tells_how_far_it_is(reader, put, topic_prefix):
    put(*((b"%d" % user, state(user)) for user in range(2500)))
    told = []
    assert len(reader.restore(topic_prefix, PARTITION, lambda *both: told.append(both))) == 2500
    assert [records for records, _ in told] == sorted(records for records, _ in told)
    assert {records + remaining for records, remaining in told} == {2500}
    assert told[-1] == (2500, 0)


def test_one_reader_reads_one_partition_after_the_other(reader, put, topic_prefix):
    put((b"a", state(1)))
    put((b"b", state(2)), (b"c", state(3)), partition=0)
    assert restored(reader, topic_prefix).keys() == {b"a"}
    assert [message.key() for message in reader.records(topic_prefix, 0)] == [b"b", b"c"]
    assert restored(reader, topic_prefix).keys() == {b"a"}


@pytest.mark.parametrize(
    ("written", "stretches"),
    [
        (3, [(0, 3)]),
        (1000, [(0, 1000)]),
        (1001, [(1, 1001), (0, 1)]),
        (11_000, [(10_000, 11_000), (0, 10_000)]),
        (12_345, [(11_345, 12_345), (1_345, 11_345), (0, 1_345)]),
    ],
)
def test_backwards_each_record_is_read_once_in_stretches_that_grow(reader, put, topic_prefix, written, stretches):
    put(*((b"k", b"%d" % number) for number in range(written)))
    read = [[message.offset() for message in stretch] for stretch in reader.backwards(topic_prefix, PARTITION)]
    assert read == [list(range(first, end)) for first, end in stretches]
    assert reader.bounds(topic_prefix, PARTITION)[1] == written


def test_reading_backwards_says_that_records_arrive(mock_kafka, put, topic_prefix):
    arrived = []
    reader = PartitionReader(mock_kafka, lambda: arrived.append(1))
    put(*((b"k", b"%d" % number) for number in range(2000)))
    assert sum(len(list(stretch)) for stretch in reader.backwards(topic_prefix, PARTITION)) == 2000
    reader.close()
    assert len(arrived) >= 2


def test_a_reader_commits_nothing(reader, put, topic_prefix):
    put((b"a", state(1)))
    restored(reader, topic_prefix)
    with pytest.raises(KafkaException):
        reader._consumer.commit(asynchronous=False)


def test_a_record_is_found_at_its_offset(reader, put, topic_prefix):
    put((b"a", b"1"), (b"b", b"2"), (b"c", b"3"))
    assert reader.record_at(topic_prefix, PARTITION, 1).value() == b"2"
    assert reader.record_at(topic_prefix, PARTITION, 0).value() == b"1"
    assert reader.record_at(topic_prefix, PARTITION, 3) is None
    assert reader.record_at(topic_prefix, PARTITION, -1) is None


def test_a_record_that_kafka_does_not_hand_out_is_an_error_that_says_which(mock_kafka, topic_prefix):
    class Silent:
        """A partition that has records, and a leader that gives none of them."""

        def poll(self, _):
            return None

        def assign(self, _): ...

        def unassign(self): ...

    reader = PartitionReader(mock_kafka)
    reader.close()
    reader._consumer = Silent()
    with pytest.raises(RefusedError, match=f"cannot read {topic_prefix} partition 1, offset 7: .* within 0.2 seconds"):
        reader.first_record(topic_prefix, PARTITION, 7, 8, seconds=0.2)


def test_a_value_that_is_too_short_for_a_state_is_left_to_who_reads_states(reader, put, topic_prefix):
    put((b"a", b"\x01bogus"), (b"a", b"\x01bogus"), (b"b", state(3)), (b"b", b"x"))
    assert restored(reader, topic_prefix) == {b"a": b"\x01bogus", b"b": b"x"}
