import json

import pytest

from service.errors import RowsRefusedError
from sinks.blocks import NO_COORDINATES, NO_OBJECT, insert_in_halves, insert_whole, make_block
from tests.harness.memory_kafka import MemoryRecord, coordinates
from tests.harness.memory_table import MemoryTable
from tests.harness.records import score_fields


def value_of(source_offset, partition=0):
    return b'{"source_topic":"events","source_partition":%d,"source_offset":%d}' % (partition, source_offset)


def record(offset, source_offset=None, value=None, headers="coordinates"):
    source_offset = offset if source_offset is None else source_offset
    if headers == "coordinates":
        headers = coordinates("events", 0, source_offset)
    return MemoryRecord(0, offset, value_of(source_offset) if value is None else value, headers)


def offsets_of(records):
    return [each.offset() for each in records]


def test_rows_above_the_stored_offset_are_new_and_the_others_repeats():
    block = make_block(10, [record(10, 5), record(11, 6), record(12, 7)], {("events", 0): 5})
    assert (offsets_of(block.rows), block.repeats) == ([11, 12], 1)
    assert block.stored == {("events", 0): 7}


def test_a_repeat_inside_the_block_is_dropped():
    block = make_block(0, [record(0, 5), record(1, 6), record(2, 5), record(3, 6), record(4, 7)], {})
    assert (offsets_of(block.rows), block.repeats) == ([0, 1, 4], 2)


def test_event_partitions_are_told_apart():
    other = record(1, value=value_of(3, partition=1), headers=coordinates("events", 1, 3))
    block = make_block(0, [record(0, 5), other], {})
    assert block.stored == {("events", 0): 5, ("events", 1): 3}
    assert len(block.rows) == 2


def test_the_block_ends_at_its_last_record_whatever_that_is():
    block = make_block(3, [record(5, 1), record(9, 1)], {})
    assert (block.first, block.last) == (3, 9)


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        [("topic", b"events"), ("partition", b"0")],
        coordinates("events", 0, -1),
        coordinates("events", 0, 2**63),
        coordinates("events", -1, 0),
        coordinates("", 0, 0),
        coordinates("x" * 250, 0, 0),
        [("topic", b"events"), ("partition", b"zero"), ("offset", b"1")],
        [("topic", b"events"), ("partition", b"0"), ("offset", b"1.5")],
        [("topic", b"events"), ("partition", b"0"), ("offset", None)],
        [("topic", b"events"), ("partition", None), ("offset", b"1")],
        [("topic", None), ("partition", b"0"), ("offset", b"1")],
        [("topic", b"\xff"), ("partition", b"0"), ("offset", b"1")],
    ],
)
def test_a_record_without_source_coordinates_is_rejected(headers):
    block = make_block(0, [record(0, headers=headers)], {})
    assert [each.error for each in block.rejected] == [NO_COORDINATES]
    assert (block.rows, block.repeats, block.stored) == ([], 0, {})


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"a":1}{"a":2}',
        b'{"a":1}\n{"a":2}',
        b'{"a":1},{"a":2}',
        b'{"a":1};',
        b'{"a":"}',
        b'[{"a":1}]',
        b'{"a":' * 100_000,
    ],
)
def test_a_value_that_is_not_one_object_is_rejected(value):
    block = make_block(0, [record(0, value=value), record(1)], {})
    assert [(each.record.offset(), each.error) for each in block.rejected] == [(0, NO_OBJECT)]
    assert offsets_of(block.rows) == [1]


def test_a_record_without_a_value_is_rejected():
    block = make_block(0, [MemoryRecord(0, 0, None, coordinates("events", 0, 0))], {})
    assert [each.error for each in block.rejected] == [NO_OBJECT]


@pytest.mark.parametrize("value", [b'{\n "a": 1\n}\n', b'{"a":"}{\\n"}', b'{"a":{"b":[{}]}}'])
def test_one_object_may_be_written_in_any_way(value):
    assert len(make_block(0, [record(0, value=value)], {}).rows) == 1


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        b"{}",
        b'{"user_id":"x"}',
        value_of(7),
        value_of(99_999_999, partition=1),
        value_of(99_999_999).replace(b"events", b"others"),
        value_of(99_999_999).replace(b"events", b"\xff"),
        value_of(99_999_999).replace(b"99999999", b'"99999999"'),
        value_of(99_999_999).replace(b"99999999", b'[{"a":1}]'),
    ],
)
def test_headers_that_the_value_does_not_confirm_make_no_repeats_of_what_follows(value):
    block = make_block(0, [record(0, 99_999_999, value=value), record(1, 8), record(2, 8)], {("events", 0): 5})
    assert offsets_of([*(each.record for each in block.rejected), *block.rows]) == [0, 1]
    assert (block.repeats, block.stored) == (1, {("events", 0): 8})
    assert make_block(3, [record(3, 9)], block.stored).repeats == 0


def test_a_row_that_the_table_may_refuse_counts_as_settled_so_its_repeat_is_dropped():
    block = make_block(0, [row(5, price="x"), row(5, price="x")], {})
    assert (len(block.rows), block.repeats) == (1, 1)


def test_the_rows_after_one_with_foreign_headers_are_stored_in_halves_too():
    bad = record(1, 99_999_999, value=b'{"user_id":"x"}')
    table = MemoryTable()
    rejected = insert_in_halves(table, make_block(0, [row(0), bad, row(2), row(3)], {}), "t", tried_before=False)
    assert offsets_of(each.record for each in rejected) == [1]
    assert stored_offsets(table) == [0, 2, 3]


def row(offset, **changes):
    return record(offset, value=json.dumps(score_fields(0, offset, **changes)).encode())


def stored_offsets(table):
    return sorted(each["source_offset"] for each in table.rows)


@pytest.mark.parametrize("bad", [{0}, {6}, {3}, {2, 3}, {0, 6}, set(range(7)), set()])
def test_halves_store_every_good_row_and_return_the_bad_ones(bad):
    table = MemoryTable()
    rows = [row(offset, price="x") if offset in bad else row(offset) for offset in range(7)]
    rejected = insert_in_halves(table, make_block(0, rows, {}), "t", tried_before=False)
    assert {each.record.offset() for each in rejected} == bad
    assert stored_offsets(table) == sorted(set(range(7)) - bad)


def test_halves_that_were_stored_before_a_crash_are_not_stored_again():
    table = MemoryTable()
    block = make_block(0, [row(offset, price="x") if offset == 4 else row(offset) for offset in range(7)], {})
    for _ in range(2):
        insert_in_halves(table, block, "t", tried_before=True)
    assert stored_offsets(table) == [0, 1, 2, 3, 5, 6]


def test_a_whole_block_with_a_bad_row_is_refused():
    table = MemoryTable()
    with pytest.raises(RowsRefusedError):
        insert_whole(table, make_block(0, [row(0), row(1, price="x")], {}), "t", tried_before=False)
    assert table.rows == []


def test_a_block_whose_token_is_known_without_its_rows_is_stored_after_all():
    table = MemoryTable()
    table.tokens |= {"t", "t/again"}
    for _ in range(2):
        insert_whole(table, make_block(0, [row(0), row(1)], {}), "t", tried_before=True)
    assert stored_offsets(table) == [0, 1]


def test_a_value_that_contradicts_its_headers_is_stored_once_and_holds_nothing_up():
    contradicting = MemoryRecord(0, 1, row(7).value(), coordinates("events", 0, 8))
    table = MemoryTable()
    insert_whole(table, make_block(0, [row(0), contradicting], {}), "t", tried_before=True)
    assert [each["source_offset"] for each in table.rows] == [0, 7]


def test_a_table_that_never_shows_what_it_took_ends_in_a_refusal():
    class Hiding(MemoryTable):
        def count(self, *_):
            return 0

    with pytest.raises(RowsRefusedError, match="not found as they were inserted"):
        insert_whole(Hiding(), make_block(0, [row(0)], {}), "t", tried_before=True)
