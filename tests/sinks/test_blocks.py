import json

import pytest

from service.errors import RowsRefusedError, UnavailableError
from sinks.blocks import BEYOND_THE_END, Origin, insert_lacking, insert_whole, make_block
from sinks.judge import ScoreJudge
from tests.harness.memory_kafka import MemoryRecord, coordinates
from tests.harness.memory_table import MemoryTable
from tests.harness.records import score_fields

END = 1_000
ORIGIN = Origin(("events", 0), ScoreJudge("events", 0), lambda _: END)


def record(offset, source_offset=None, key=b"u", **changes):
    source_offset = offset if source_offset is None else source_offset
    value = json.dumps(score_fields(0, source_offset, event_time=1_700_000_000_000, **changes)).encode()
    return MemoryRecord(0, offset, value, coordinates("events", 0, source_offset), key)


def block_of(*records, stored=-1):
    return make_block(records[0].offset(), records, stored, ORIGIN)


def offsets_of(rows):
    return [row.record.offset() for row in rows]


def test_rows_above_the_stored_offset_are_new():
    block = block_of(record(11, 6), record(12, 7), stored=5)
    assert (offsets_of(block.rows), block.compared) == ([11, 12], False)


def test_a_row_at_or_below_the_stored_offset_is_compared_with_the_table():
    block = block_of(record(10, 5), record(11, 6), stored=5)
    assert (offsets_of(block.rows), block.compared) == ([10, 11], True)


def test_a_row_that_goes_back_within_the_block_is_compared_with_the_table():
    assert block_of(record(0, 5), record(1, 3)).compared


def test_a_repeat_inside_the_block_is_dropped():
    block = block_of(record(0, 5), record(1, 6), record(2, 5), record(3, 6), record(4, 7))
    assert (offsets_of(block.rows), block.repeats, block.compared) == ([0, 1, 4], 2, False)


def test_two_events_that_claim_one_source_offset_are_two_rows():
    block = block_of(record(0, 5), record(1, 5, event_id="another"))
    assert (len(block.rows), block.compared) == (2, True)


def test_the_block_ends_at_its_last_record_whatever_that_is():
    block = make_block(3, [record(5, 1), record(9, 1, key=b"stranger")], -1, ORIGIN)
    assert (block.first, block.last) == (3, 9)


@pytest.mark.parametrize("forged", [END, 2**62])
def test_an_offset_beyond_the_end_of_its_partition_is_a_strangers_and_moves_nothing(forged):
    block = block_of(record(0, forged), record(1, 8), stored=5)
    assert [(each.reason, each.error) for each in block.rejected] == [("stranger", BEYOND_THE_END)]
    assert (offsets_of(block.rows), block.compared) == ([1], False)


def test_rows_after_a_perfect_forgery_of_a_later_event_are_stored_all_the_same():
    table = MemoryTable()
    insert_whole(table, block_of(record(0, 500, event_id="forged")), "a", tried_before=False)
    block = block_of(record(1, 8), record(2, 500), stored=500)
    assert insert_lacking(table, block, "b", None, tried_before=False) == ([], 0)
    assert stored_offsets(table) == [8, 500, 500]


def stored_offsets(table):
    return sorted(each["source_offset"] for each in table.rows)


@pytest.mark.parametrize("rows_at_once", [None, 3])
@pytest.mark.parametrize("bad", [{0}, {6}, {3}, {2, 3}, {0, 6}, set(range(7)), set()])
def test_every_row_that_the_table_takes_is_stored_and_the_others_returned(bad, rows_at_once):
    table = MemoryTable()
    block = block_of(*(record(n, channel="refused") if n in bad else record(n) for n in range(7)))
    rejected, repeats = insert_lacking(table, block, "t", rows_at_once, tried_before=False)
    assert {each.record.offset() for each in rejected} == bad
    assert {each.reason for each in rejected} <= {"row"}
    assert (stored_offsets(table), repeats) == (sorted(set(range(7)) - bad), 0)


def test_bad_rows_cost_a_bounded_number_of_inserts_and_questions():
    class Counting(MemoryTable):
        asked = 0

        def insert(self, rows, token):
            self.asked += 1
            super().insert(rows, token)

        def violations(self, rows):
            self.asked += 1
            return super().violations(rows)

    table = Counting()
    block = block_of(*(record(n, channel="refused" if n % 2 else None) for n in range(500)))
    insert_lacking(table, block, "t", None, tried_before=False)
    assert table.asked == 3


def test_only_what_the_table_lacks_is_inserted():
    table = MemoryTable()
    insert_whole(table, block_of(record(0), record(2)), "a", tried_before=False)
    for _ in range(2):
        insert_lacking(table, block_of(record(0), record(1), record(2), record(3)), "b", None, tried_before=True)
    assert stored_offsets(table) == [0, 1, 2, 3]


def test_a_table_that_refuses_rows_and_does_not_tell_which_is_waited_for():
    class Silent(MemoryTable):
        def violations(self, _rows):
            return {}

    with pytest.raises(UnavailableError, match="does not tell which"):
        insert_lacking(Silent(), block_of(record(0, channel="refused")), "t", None, tried_before=False)


def test_a_whole_block_with_a_bad_row_is_refused():
    table = MemoryTable()
    with pytest.raises(RowsRefusedError):
        insert_whole(table, block_of(record(0), record(1, channel="refused")), "t", tried_before=False)
    assert table.rows == []


def test_a_block_whose_token_is_known_without_its_rows_is_stored_after_all():
    table = MemoryTable()
    table.tokens |= {"t", "t/again"}
    for _ in range(2):
        insert_whole(table, block_of(record(0), record(1)), "t", tried_before=True)
    assert stored_offsets(table) == [0, 1]


def test_a_table_that_never_shows_what_it_took_holds_nothing_up():
    class Hiding(MemoryTable):
        def stored(self, *_):
            return set()

    table = Hiding()
    insert_whole(table, block_of(record(0)), "t", tried_before=True)
    assert table.rows
