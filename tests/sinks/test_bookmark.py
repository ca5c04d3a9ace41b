import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.bookmark import Bookmark, read_bookmark

END = 100


@given(st.integers(0, END - 1), st.integers(-1, 2**63 - 1), st.booleans(), st.none() | st.integers(1, 100_000))
def test_what_is_committed_is_read_back(offset, stored, compared, rows_at_once):
    for last in (None, offset, END - 1):
        bookmark = Bookmark(offset, "id", stored, last, compared, rows_at_once)
        assert read_bookmark(offset, bookmark.metadata(), "id", END) == bookmark


def test_a_commit_at_the_end_is_read_back():
    assert read_bookmark(END, Bookmark(END, "id", 4).metadata(), "id", END) == Bookmark(END, "id", 4)


def test_without_a_commit_nothing_is_stored():
    assert read_bookmark(None, None, "id", END) == Bookmark(None, "id")


@pytest.mark.parametrize(
    "metadata",
    ["by hand", "", None, "{}", '{"topic_id":"id","stored":[["events",0,7]]}', '{"topic_id":"id","stored":"x"}'],
)
def test_nothing_is_believed_of_a_commit_by_another_program(metadata):
    assert read_bookmark(5, metadata, "id", END) == Bookmark(None, "id")


def test_a_commit_for_an_earlier_topic_of_the_name_means_nothing():
    assert read_bookmark(5, Bookmark(5, "old", 4, 9).metadata(), "new", END) == Bookmark(None, "new")


@pytest.mark.parametrize(("offset", "last"), [(END + 1, None), (2**62, None), (5, END), (5, 2**62), (5, 3)])
def test_a_commit_that_speaks_of_records_that_are_not_there_is_not_believed(offset, last):
    assert read_bookmark(offset, Bookmark(offset, "id", 4, last).metadata(), "id", END) == Bookmark(None, "id")
