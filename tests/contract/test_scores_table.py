"""What the sink relies on, of the table in ClickHouse and of the one in memory alike."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from model.level import SHIFT_FIELDS
from service.errors import RowsRefusedError
from sinks.table import ClickHouseTable, ScoresTable, identity
from tests.harness.memory_table import MemoryTable
from tests.harness.records import score_fields

NO_SHIFT = dict.fromkeys(SHIFT_FIELDS, 0.0)
PROPENSITIES = {"propensity_session", "propensity_1h", "propensity_24h"}
OF_SOME_EVENTS = {"quantity", "rating", "text"}
OF_IMPRESSIONS = {"shown": ["a", "b"], "shown_by": "m1", "placement": "home"}
OPTIONAL = {"item_id", "category", "channel", "price", "source_timestamp", *OF_SOME_EVENTS, *PROPENSITIES}


def score(offset: int = 0, **changes: Any) -> dict[str, Any]:
    return (
        score_fields(
            3,
            offset,
            item_id=None,
            category="shoes",
            channel="email",
            price=19.5,
            quantity=2.0,
            rating=4.5,
            text="good soles",
            event_time=1_700_000_000_123,
            propensity_1h=0.25,
            propensity_24h=0.75,
            scored_at=1_764_000_000_456,
            source_timestamp=1_764_000_000_123,
        )
        | changes
    )


def as_json(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode()


class _InClickHouse(ClickHouseTable):
    @property
    def rows(self) -> list[dict[str, Any]]:
        result = self._connected().query(f"SELECT * FROM {self._name} ORDER BY source_offset")  # noqa: S608
        found = [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]
        return [{name: value for name, value in row.items() if name != "stored_at"} for row in found]

    @property
    def ages_seconds(self) -> list[float]:
        ages = f"SELECT (now64(3) - stored_at)::Float64 FROM {self._name} ORDER BY source_offset"  # noqa: S608
        return [age for (age,) in self._connected().query(ages).result_rows]


@pytest.fixture(params=["memory", pytest.param("clickhouse", marks=pytest.mark.integration)])
def table(request: pytest.FixtureRequest) -> Iterator[ScoresTable]:
    if request.param == "memory":
        yield MemoryTable()
        return
    in_clickhouse = _InClickHouse(request.getfixturevalue("database"))
    yield in_clickhouse
    in_clickhouse.close()


def test_a_row_is_stored_as_it_was_scored(table):
    table.insert([as_json(score(7))], "t")
    assert table.rows == [score(7, item_id="", anonymous_id="", shown=[], shown_by="", placement="", **NO_SHIFT)]


def test_an_impression_is_stored_with_its_list_and_without_propensities(table):
    nothing = dict.fromkeys(PROPENSITIES)
    table.insert([as_json(score(7, event_type="impression", **OF_IMPRESSIONS, **nothing))], "t")
    (row,) = table.rows
    assert {name: row[name] for name in OF_IMPRESSIONS} == OF_IMPRESSIONS
    assert all(row[name] is None or math.isnan(row[name]) for name in PROPENSITIES)


def test_an_event_without_a_price_has_no_price_in_the_table(table):
    table.insert([as_json(score(price=None))], "t")
    assert table.rows[0]["price"] is None


def test_what_only_some_events_have_is_absent_or_empty(table):
    bare = {name: value for name, value in score().items() if name not in OF_SOME_EVENTS}
    table.insert([as_json(bare)], "t")
    assert [table.rows[0][name] for name in ("quantity", "rating", "text")] == [None, None, ""]


def test_absent_item_and_category_are_empty(table):
    bare = score()
    del bare["item_id"], bare["category"]
    table.insert([as_json(bare)], "t")
    assert (table.rows[0]["item_id"], table.rows[0]["category"]) == ("", "")


def test_a_score_whose_level_is_corrected_is_stored_with_its_shifts(table):
    shifts = dict(zip(SHIFT_FIELDS, (0.25, -0.5, 0.0), strict=True))
    table.insert([as_json(score(7, **shifts))], "t")
    assert {name: table.rows[0][name] for name in SHIFT_FIELDS} == shifts


@pytest.mark.parametrize("column", sorted(PROPENSITIES))
def test_a_propensity_that_the_model_has_no_horizon_for_is_not_a_number(table, column):
    without = score(1)
    del without[column]
    table.insert([as_json(without), as_json(score(2, **{column: None}))], "t")
    assert all(math.isnan(row[column]) for row in table.rows)
    assert [row["source_offset"] for row in table.rows] == [1, 2]


@pytest.mark.integration
@pytest.mark.parametrize("table", ["clickhouse"], indirect=True)
def test_clickhouse_knows_when_a_row_came_unless_its_event_has_no_record_time(table):
    table.insert([as_json(score(1)), as_json(score(2, source_timestamp=0))], "t")
    known, unknown = table.ages_seconds
    assert 0 <= known < 60
    assert unknown > 1e9


def test_fields_that_the_table_does_not_know_are_left_out(table):
    table.insert([as_json(score(propensity_7d=0.9, nested={"a": [1, 2]}))], "t")
    assert len(table.rows) == 1


def test_answers_of_further_heads_keep_no_score_out(table):
    extra = {"next_type": "cart", "next_type_propensity": 0.41, "next_purchase_categories": ["shoes", "bags"]}
    table.insert([as_json(score(7, **extra))], "t")
    assert {name: table.rows[0][name] for name in score(7) if name != "item_id"} == {
        name: value for name, value in score(7).items() if name != "item_id"
    }


def test_text_arrives_as_it_was(table):
    text = "naïve\n\n\t\"'\\ 日本 \x00"
    table.insert([as_json(score(user_id=text))], "t")
    assert table.rows[0]["user_id"] == text


def test_a_block_whose_token_is_known_is_not_stored_again(table):
    for _ in range(2):
        table.insert([as_json(score(1)), as_json(score(2))], "same")
    assert [row["source_offset"] for row in table.rows] == [1, 2]


def test_equal_rows_under_two_tokens_are_two_blocks(table):
    table.insert([as_json(score(1))], "a")
    table.insert([as_json(score(2))], "b")
    assert len(table.rows) == 2


def test_one_bad_row_keeps_its_whole_block_out(table):
    with pytest.raises(RowsRefusedError):
        table.insert([as_json(score(1)), as_json(score(2, price="secret")), as_json(score(3))], "t")
    assert table.rows == []


def test_a_refused_block_may_come_again_without_its_bad_row(table):
    with pytest.raises(RowsRefusedError):
        table.insert([as_json(score(1)), as_json(score(2, price="secret"))], "t")
    table.insert([as_json(score(1))], "t")
    assert len(table.rows) == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("user_id", ""),
        ("event_id", None),
        ("price", "secret"),
        ("quantity", "secret"),
        ("rating", [1]),
        ("event_time", "secret"),
        ("event_time", 0),
        ("propensity_session", 1.5),
        ("propensity_1h", -0.1),
        ("propensity_24h", "secret"),
        ("source_partition", -1),
        ("source_offset", "secret"),
        ("scored_at", 99_999_999_999_999),
    ],
)
def test_a_refusal_names_the_column_and_never_the_value(table, column, value):
    with pytest.raises(RowsRefusedError) as refusal:
        table.insert([as_json(score(**{column: value}))], "t")
    assert column in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("column", sorted(score().keys() - OPTIONAL))
def test_a_row_without_a_required_field_is_refused(table, column):
    row = score()
    del row[column]
    with pytest.raises(RowsRefusedError, match=column):
        table.insert([as_json(row)], "t")


@pytest.mark.parametrize("value", [b"", b"nonsense", b"[1]", b'"text"', b"\xff\xfe"])
def test_what_is_no_object_is_refused(table, value):
    with pytest.raises(RowsRefusedError):
        table.insert([as_json(score(1)), value or b"{", as_json(score(2))], "t")
    assert table.rows == []


def test_more_months_than_the_engine_allows_by_default_are_stored(table):
    month_ms = 31 * 24 * 3600 * 1000
    table.insert([as_json(score(i, scored_at=1_000_000_000_000 + i * month_ms)) for i in range(150)], "t")
    assert len(table.rows) == 150


def test_what_is_stored_of_a_source_is_told_by_offset_and_event(table):
    table.insert([as_json(score(offset)) for offset in (1, 2, 5)], "a")
    table.insert([as_json(score(9, source_partition=4))], "b")
    keys = [(offset, identity("u", f"e3-{offset}")) for offset in range(20_000)]
    assert table.stored(("events", 3), keys) == {keys[1], keys[2], keys[5]}
    assert table.stored(("events", 3), [(1, identity("u", "another")), (9, identity("u", "e3-9"))]) == set()
    assert table.stored(("other", 3), keys) == table.stored(("events", 3), []) == set()
    highest = [table.highest(source) for source in (("events", 3), ("events", 4), ("events", 5), ("other", 3))]
    assert highest == [5, 9, -1, -1]
    assert table.shows_at_once


def test_the_table_tells_at_once_which_rows_it_would_refuse_and_stores_none(table):
    text = "naïve\n\t\"'\\ 日本 \x00"
    bad = {1: {"scored_at": 1}, 3: {"price": "secret"}, 4: {"propensity_1h": 7}}
    rows = [as_json(score(place, user_id=text, **bad.get(place, {}))) for place in range(6)]
    found = table.violations(rows)
    assert found.keys() == bad.keys()
    assert "scored_at" in found[1]
    assert "secret" not in str(found)
    assert table.violations(rows[:1]) == table.violations([rows[5]]) == {}
    assert table.rows == []
