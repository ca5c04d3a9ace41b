from hypothesis import given
from hypothesis import strategies as st

from sinks.bookmark import MAX_METADATA_BYTES, Bookmark, read_bookmark, trimmed

offsets = st.integers(0, 2**63 - 1)
sources = st.dictionaries(st.tuples(st.text(min_size=1, max_size=249), st.integers(0, 2**31 - 1)), offsets, max_size=5)


@given(offsets, sources, st.none() | offsets, st.booleans())
def test_what_is_committed_is_read_back(offset, stored, block_last, halved):
    bookmark = Bookmark(offset, "id", stored, block_last, halved)
    assert read_bookmark(offset, bookmark.metadata(), "id") == bookmark


def test_without_a_commit_nothing_is_stored():
    assert read_bookmark(None, None, "id") == Bookmark(None, "id")


def test_of_a_commit_by_another_program_only_the_offset_counts():
    assert read_bookmark(5, "by hand", "id") == Bookmark(5, "id")
    assert read_bookmark(5, "", "id") == Bookmark(5, "id")


def test_a_commit_for_an_earlier_topic_of_the_name_means_nothing():
    old = Bookmark(5, "old", {("events", 0): 4}, 9)
    assert read_bookmark(5, old.metadata(), "new") == Bookmark(None, "new")


@given(st.dictionaries(st.tuples(st.text(min_size=1, max_size=249), st.integers(0, 2**31 - 1)), offsets, max_size=60))
def test_the_metadata_never_outgrows_what_the_broker_takes(stored):
    kept = trimmed(stored)
    metadata = Bookmark(2**62, "x" * 36, kept, 2**62, halved=True).metadata()
    assert len(metadata.encode()) <= MAX_METADATA_BYTES


def test_the_sources_raised_last_are_kept():
    stored = {("topic" * 40, number): number for number in range(60)}
    kept = trimmed(stored)
    assert list(kept) == list(stored)[-len(kept) :]
    assert len(kept) > 10
