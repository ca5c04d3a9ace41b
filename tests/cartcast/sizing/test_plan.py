"""What `cartcast size` reckons: never less for more, in the units it says, with sums that come out."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartcast.sizing.coefficients import load_coefficients
from cartcast.sizing.demand import Demand
from cartcast.sizing.plan import Line, plan, size
from service.errors import UsageError

MEASURED = load_coefficients()
A_SHARE = {"worker_memory", "restore"}
"""What one worker has of the whole: it falls where workers are added."""
RATES = st.floats(0.01, 1e7)
USERS = st.floats(1, 1e10)
DAYS = st.floats(0.01, 36_500)
MORE = st.floats(1, 1000)


def found(**asked: float) -> dict[str, Line]:
    demand = {"events_per_second": 10_000.0, "users": 1e6, "horizon_days": 30.0} | asked
    return {line.name: line for line in plan(Demand(**demand), MEASURED)}


def never_less(less: dict[str, Line], more: dict[str, Line]) -> None:
    for name in less.keys() - A_SHARE:
        assert more[name].value >= less[name].value * (1 - 1e-9), name


@given(RATES, USERS, DAYS, MORE)
def test_more_events_never_need_less(rate, users, days, more):
    same = {"users": users, "horizon_days": days}
    never_less(found(events_per_second=rate, **same), found(events_per_second=min(rate * more, 1e7), **same))


@given(RATES, USERS, DAYS, MORE)
def test_more_users_never_need_less(rate, users, days, more):
    same = {"events_per_second": rate, "horizon_days": days}
    never_less(found(users=users, **same), found(users=min(users * more, 1e10), **same))


@given(RATES, USERS, DAYS, MORE)
def test_more_days_need_more_of_the_table_and_nothing_else(rate, users, days, more):
    same = {"events_per_second": rate, "users": users}
    less, longer = found(horizon_days=days, **same), found(horizon_days=min(days * more, 36_500), **same)
    never_less(less, longer)
    assert {name for name in less if less[name] != longer[name]} <= {"table_rows", "table_disk"}


@given(RATES, USERS, DAYS)
def test_every_number_is_one_and_processes_are_whole(rate, users, days):
    lines = found(events_per_second=rate, users=users, horizon_days=days)
    assert all(math.isfinite(line.value) and line.value > 0 for line in lines.values())
    assert all(lines[name].value == int(lines[name].value) >= 1 for name in ("workers", "sinks", "partitions"))
    assert lines["partitions"].value >= 2 * lines["workers"].value


@given(RATES, USERS)
def test_no_worker_takes_more_memory_than_it_may(rate, users):
    assert found(events_per_second=rate, users=users, worker_memory_gib=4)["worker_memory"].value <= 4 * 2**30 + 1


@given(RATES, USERS)
def test_states_are_not_written_more_often_than_events_come_nor_for_more_than_all_users(rate, users):
    assert found(events_per_second=rate, users=users)["state_writes"].value <= min(rate, users) * (1 + 1e-9)


def test_the_arithmetic_is_that_of_the_number():
    lines = found(events_per_second=1000, users=1000, horizon_days=2)
    assert lines["table_rows"].value == 1000 * 86_400 * 2
    rows, row, spare, copies = numbers(lines["table_disk"].arithmetic)
    assert lines["table_disk"].value == pytest.approx(rows * row * spare * copies, rel=0.01)
    rate, cost, spare = numbers(lines["worker_cores"].arithmetic)
    assert lines["worker_cores"].value == pytest.approx(rate * cost * spare / 1e6)
    rate, hours, each, copies = numbers(lines["events_disk"].arithmetic)
    assert lines["events_disk"].value == pytest.approx(rate * hours * 3600 * each * copies, rel=0.01)


def numbers(arithmetic: str) -> list[float]:
    return [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", arithmetic)]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("events_per_second", 0), ("events_per_second", -1), ("events_per_second", 1.1e7),
        ("events_per_second", math.nan), ("users", 0), ("users", math.inf), ("users", 0.5), ("horizon_days", 0),
        ("horizon_days", -3), ("horizon_days", 1e9), ("headroom", 0.5), ("replication_factor", 0),
        ("worker_memory_gib", 1),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line_with_the_option(option, value):
    with pytest.raises(UsageError, match=rf"^--{option.replace('_', '-')} \S+ makes no sense: give [^\n]+$"):
        found(**{option: value})


def test_ten_million_events_a_second_can_be_asked_for():
    assert found(events_per_second=1e7)["workers"].value > 100


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (2**40, "1.0 TiB"), (2**60, "1,024.0 PiB")]
)
def test_bytes_are_written_for_people(count, text):
    assert size(count) == text
