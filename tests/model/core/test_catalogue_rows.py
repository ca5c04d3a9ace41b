"""Rows by code and texts by row, against dictionaries."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.core.catalogue_rows import RowsByCode, Texts, spans_of, text_at

LONGEST = 255
CODES = st.lists(st.integers(1, 40) | st.integers(1, 2**32 - 1), max_size=30)


@given(st.lists(CODES, max_size=6), CODES)
def test_each_code_has_the_row_that_came_first(groups, others):
    rows, known, count = RowsByCode(), dict[int, int](), 0
    for codes in groups:
        rows.add(np.array(codes, np.uint32))
        for code in codes:
            known.setdefault(code, count)
            count += 1
    wanted = [*known, *others, 0]
    assert rows.find(np.array(wanted, np.uint32)).tolist() == [known.get(code, -1) for code in wanted]


def test_rows_are_found_when_the_table_has_grown():
    rows, codes = RowsByCode(), np.random.default_rng(0).permutation(2**20)[:5000].astype(np.uint32)
    for start in range(0, len(codes), 700):
        rows.add(codes[start : start + 700])
    np.testing.assert_array_equal(rows.find(codes), np.arange(len(codes)))


@given(st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=LONGEST)), max_size=60))
def test_each_row_has_the_text_that_was_put_last(puts):
    texts, known = Texts(), [b""] * 6
    texts.make_rows(6)
    texts.buffer = texts.buffer[:300]  # so that it is packed and grown again and again
    for row, text in puts:
        texts.put(row, text)
        known[row] = text
        assert [text_at(texts.buffer, int(place)) for place in texts.places[:6]] == known
        spans = spans_of(texts.places[:6]).tolist()
        assert [texts.buffer[start:end].tobytes() for start, end in spans] == known
    assert len(texts.buffer) <= 300 + 12 * LONGEST
