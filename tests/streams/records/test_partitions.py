"""Keys go to the partitions that other clients send them to, one by one or many at once."""

from aiokafka.partitioner import murmur2
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from model.core.byte_strings import ByteStrings
from service.partitioner import partition_of
from streams.records.partitions import partitions_of


@given(st.lists(st.binary(max_size=40)), st.integers(1, 100))
def test_keys_have_the_partitions_that_aiokafka_gives_them(keys, partitions):
    expected = [(murmur2(key) & 0x7FFFFFFF) % partitions for key in keys]
    assert [partition_of(key, partitions) for key in keys] == expected
    assert partitions_of(ByteStrings.of(keys), partitions).tolist() == expected


def test_keys_have_the_partitions_that_librdkafkas_java_compatible_partitioner_gives_them(mock_kafka):
    producer, found = Producer({**mock_kafka, "partitioner": "murmur2_random"}), {}
    keys = [b"u", "Zo\u00eb".encode(), bytes(range(256)), b"x" * 1024, *(b"%d" % number for number in range(50))]
    for key in keys:
        producer.produce("keys", b"", key, on_delivery=lambda _, sent: found.update({sent.key(): sent.partition()}))
    assert producer.flush() == 0
    assert found == {key: partition_of(key, 4) for key in keys}
    assert list(found.values()) == partitions_of(ByteStrings.of(list(found)), 4).tolist()
