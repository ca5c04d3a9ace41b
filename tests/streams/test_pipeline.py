"""What is computed of a partition's states for its changelog, and for other partitions."""

from streams.partition_states import Outgoing
from streams.records.writer import OutputRecord
from tests.streams.memory_publisher import records_of


async def test_what_several_fetches_send_to_a_partition_is_one_batch_in_their_order(pipeline, states):
    for number in range(3):
        sent = [(place, OutputRecord(b"%d" % number, b"%d" % place)) for place in (0, 2)]
        states.send(Outgoing.of("one", sent))
    states.send(Outgoing.of("other", [(2, OutputRecord(b"k", b"v"))]))
    _, elsewhere = pipeline.changelog(states.take_dirty())
    found = {(each.topic, each.partition): [record.key for record in records_of(each.batch)] for each in elsewhere}
    assert len(elsewhere) == len(found)
    assert found == {("one", 0): [b"0", b"1", b"2"], ("one", 2): [b"0", b"1", b"2"], ("other", 2): [b"k"]}


async def test_notes_stand_before_the_states_that_are_written_with_them(pipeline, states):
    states.note("kind", b"id", b"noted")
    states.note("kind", b"gone", None)
    batches, elsewhere = pipeline.changelog(states.take_dirty())
    assert [(each.key, each.value) for batch in batches for each in records_of(batch)] == [
        (b"\xffkind id", b"noted"),
        (b"\xffkind gone", None),
    ]
    assert elsewhere == []
