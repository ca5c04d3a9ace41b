import json

import pytest

from service.errors import RefusedError
from sinks.blocks import Origin, Rejected
from sinks.bookmark import Bookmark
from sinks.judge import ScoreJudge
from sinks.partition import BlockLimits, Partition
from tests.harness.memory_kafka import MemoryRecord, coordinates
from tests.harness.records import score_fields

NEW = Bookmark(None, "id")
ORIGIN = Origin(("events", 0), ScoreJudge("events", 0), lambda _: 1_000)


def records(*offsets):
    return [
        MemoryRecord(0, offset, json.dumps(score_fields(0, offset)).encode(), coordinates("events", 0, offset))
        for offset in offsets
    ]


def partition(committed=NEW, rows=3, seconds=1.0, highest=-1, end=0):
    return Partition(0, committed, BlockLimits(rows, seconds), ORIGIN, highest=highest, end=end)


def stored(partition):
    """Go through one block as the sink does; returns its token and the offsets of its rows."""
    partition.freeze()
    bookmark = partition.to_commit()
    if bookmark is not None:
        assert not partition.block_is_named
        partition.committed(bookmark)
    assert partition.block_is_named
    token, offsets = partition.token(), [row.record.offset() for row in partition.block.rows]
    partition.settle()
    return token, offsets


def test_a_block_is_due_when_it_is_full():
    one = partition(rows=2)
    one.add(records(0), since=0.0)
    assert not one.due(0.5)
    one.add(records(1), since=0.5)
    assert one.due(0.5)


def test_a_block_is_due_when_its_first_record_has_waited_long_enough():
    one = partition(seconds=1.0)
    one.add(records(0), since=10.0)
    one.add(records(1), since=10.9)
    assert not one.due(10.9)
    assert one.due(11.0)
    assert one.deadline() == 11.0


def test_nothing_is_due_without_records():
    assert not partition().due(1e9, stopping=True)


def test_everything_is_due_when_stopping():
    one = partition()
    one.add(records(0), since=0.0)
    assert one.due(0.0, stopping=True)


def test_a_block_takes_no_more_rows_than_allowed_and_leaves_the_rest():
    one = partition(rows=2)
    one.add(records(0, 1, 2), since=0.0)
    assert stored(one)[1] == [0, 1]
    assert stored(one)[1] == [2]


def test_a_frozen_block_does_not_change_when_records_come_in():
    one = partition(rows=2)
    one.add(records(0), since=0.0)
    one.freeze()
    one.add(records(1, 2), since=0.0)
    assert one.block.last == 0
    assert not one.due(1e9)


def test_the_commit_before_an_insert_names_the_block():
    one = partition(Bookmark(5, "id", 4))
    one.add(records(5, 6), since=0.0)
    one.freeze()
    assert one.to_commit() == Bookmark(5, "id", 4, block_last=6)


def test_a_quiet_partition_commits_that_all_is_stored_once():
    one = partition()
    one.add(records(0, 1), since=0.0)
    stored(one)
    bookmark = one.to_commit()
    assert bookmark == Bookmark(2, "id", 1)
    one.committed(bookmark)
    assert one.to_commit() is None
    assert not one.unfinished


def test_a_busy_partition_leaves_the_confirmation_to_the_next_name():
    one = partition(rows=2)
    one.add(records(0, 1, 2), since=0.0)
    stored(one)
    assert one.to_commit() is None


def test_after_a_crash_the_named_block_is_made_again_with_its_token_whatever_the_limits_are():
    before = partition(rows=4)
    before.add(records(0, 1, 2, 3, 4, 5), since=0.0)
    before.freeze()
    kafka_holds, token = before.to_commit(), before.token()
    after = partition(kafka_holds, rows=2)
    after.add(records(0, 1, 2), since=0.0)
    assert not after.due(1e9, stopping=True)
    after.add(records(3, 4, 5), since=0.0)
    assert after.due(0.0)
    assert stored(after) == (token, [0, 1, 2, 3])
    assert stored(after)[1] == [4, 5]


def test_a_named_block_that_was_compared_is_compared_again():
    before = partition()
    before.add(records(0, 1), since=0.0)
    before.freeze()
    before.committed(before.to_commit())
    before.compare()
    assert not before.block_is_named
    after = partition(before.to_commit())
    after.add(records(0, 1), since=0.0)
    after.freeze()
    assert after.compared
    after.settle()
    assert not after.compared


def test_rows_that_the_table_may_have_are_compared_with_it():
    for highest, compared in ((-1, False), (0, True), (7, True)):
        one = partition(highest=highest)
        one.add(records(0, 1), since=0.0)
        one.freeze()
        assert one.compared is compared


def test_a_named_block_is_inserted_under_its_token_although_the_table_may_have_it():
    one = partition(Bookmark(0, "id", -1, 1), highest=1)
    one.add(records(0, 1), since=0.0)
    one.freeze()
    assert (one.compared, one.tried, one.block_is_named) == (False, True, True)


def test_without_a_commit_every_block_that_was_there_before_may_have_been_tried():
    one = partition(rows=2, end=3)
    one.add(records(0, 1, 2, 3, 4, 5), since=0.0)
    tried = []
    for _ in range(3):
        one.freeze()
        tried.append(one.tried)
        one.settle()
    assert tried == [True, True, False]


def test_refused_rows_do_not_count_as_stored():
    one = partition()
    one.add(records(0, 1), since=0.0)
    one.freeze()
    one.settle([Rejected(one.block.rows[1].record, "row", "x")])
    assert one.to_commit() == Bookmark(2, "id", 0)


def test_a_block_that_is_too_large_for_a_proxy_is_cut_once_the_setting_is_lower():
    kafka_holds = Bookmark(0, "id", -1, 3)
    for rows, is_cut in ((2, True), (4, False)):
        one = partition(kafka_holds, rows=rows)
        one.add(records(0, 1, 2, 3), since=0.0)
        one.freeze()
        assert one.cut() is is_cut
        assert one.rows_at_once == (rows if is_cut else None)
        assert not one.cut()


def test_offsets_that_are_missing_inside_a_block_do_not_matter():
    before = partition()
    before.add(records(0, 3, 7), since=0.0)
    before.freeze()
    after = partition(before.to_commit())
    after.add(records(0, 3, 7, 8), since=0.0)
    assert stored(after) == (before.token(), [0, 3, 7])


@pytest.mark.parametrize(
    ("committed", "highest", "left", "lacking"),
    [
        (NEW, 4, (9, 10), 4),  # 5 to 8
        (NEW, 8, (9, 10), 0),
        (NEW, 20, (9, 10), 0),  # it has more than what is left begins with
        (NEW, -1, (9, 10), 0),  # a new table
        (NEW, 4, (0, 1), 0),
    ],
)
def test_without_a_commit_the_table_tells_what_is_gone_unread(committed, highest, left, lacking):
    assert partition(committed, highest=highest).lacking(records(*left)) == lacking


def test_what_is_gone_unread_is_told_by_the_first_record_that_is_a_score():
    stranger = MemoryRecord(0, 8, b"{}", [])
    assert partition(highest=4).lacking([stranger, *records(9)]) == 4
    assert partition(highest=4).lacking([stranger]) == 0


def test_a_named_block_that_retention_has_cut_keeps_its_token():
    kafka_holds = Bookmark(10, "id", block_last=12)
    after = partition(kafka_holds)
    after.add(records(11, 12, 13), since=0.0)
    assert stored(after) == ("id/0/10-12", [11, 12])


def test_a_named_block_that_retention_has_taken_whole_is_forgotten():
    after = partition(Bookmark(10, "id", block_last=12))
    after.add(records(20, 21, 22), since=0.0)
    assert stored(after)[1] == [20, 21, 22]


def test_a_log_that_starts_below_the_commit_is_read_from_there_and_compared_with_the_table():
    after = partition(Bookmark(10, "id", 9, block_last=12))
    after.add(records(0, 9, 10), since=0.0)
    after.freeze()
    assert (after.token(), after.compared) == ("id/0/0-10", True)


def test_records_that_are_read_a_second_time_are_ignored():
    one = partition(rows=10)
    one.add(records(0, 1, 2), since=0.0)
    one.add(records(1, 2), since=0.0)
    one.add(records(2, 3), since=0.0)
    assert stored(one)[1] == [0, 1, 2, 3]


def test_a_log_that_goes_back_while_it_is_read_ends_the_sink():
    one = partition(rows=10)
    one.add(records(0, 1, 2), since=0.0)
    stored(one)
    with pytest.raises(RefusedError, match="start the sink again"):
        one.add(records(0), since=0.0)


def test_tokens_of_two_topics_of_one_name_differ():
    tokens = set()
    for topic_id in ("a", "b"):
        one = partition(Bookmark(None, topic_id))
        one.add(records(0), since=0.0)
        tokens.add(stored(one)[0])
    assert len(tokens) == 2


def test_the_final_commit_confirms_what_is_stored():
    one = partition()
    one.add(records(0), since=0.0)
    stored(one)
    one.add(records(1), since=0.0)
    assert one.final_commit() == Bookmark(1, "id", 0)


def test_the_final_commit_never_hides_the_name_of_a_block_that_may_be_stored():
    one = partition()
    one.add(records(0), since=0.0)
    one.freeze()
    one.committed(one.to_commit())
    assert one.final_commit() is None
    assert partition(Bookmark(0, "id", block_last=3)).final_commit() is None


def test_a_partition_that_was_not_read_has_no_final_commit():
    assert partition().final_commit() is None
    assert partition(Bookmark(4, "id")).final_commit() is None
