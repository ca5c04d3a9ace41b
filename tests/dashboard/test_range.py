from datetime import UTC, datetime, timedelta

import pytest

from dashboard.queries.range import MAX_POINTS, Range, Span

HOUR = timedelta(hours=1)
END = datetime(2026, 1, 15, 18, 45, 30, tzinfo=UTC)


def test_the_last_hours_end_with_the_hour_of_the_latest_event():
    span = Range.last_hours(24, END)
    assert span.until == datetime(2026, 1, 15, 19, tzinfo=UTC)
    assert span.since == datetime(2026, 1, 14, 19, tzinfo=UTC)
    assert span.hours == 24


def test_ends_in_the_wrong_order_are_put_in_order():
    early = END - timedelta(days=2)
    assert Range.covering(END, early) == Range.covering(early, END)


def test_a_range_between_ends_before_the_hour_that_it_goes_until():
    hour = datetime(2026, 1, 15, 18, tzinfo=UTC)
    day = Range.between(hour - timedelta(days=1), hour)
    assert day == Range(hour - timedelta(days=1), hour)
    assert Range.between(hour, hour - timedelta(days=1)) == day
    assert Range.between(hour, END) == Range(hour, hour + timedelta(hours=1))
    assert Range.between(hour, hour).hours == 1


def test_a_range_is_cut_to_what_is_stored_unless_nothing_of_it_is():
    stored = Span(END - timedelta(hours=3), END, 10)
    assert Range.last_hours(24, END).within(stored).hours == 4
    elsewhere = Range.last_hours(2, END - timedelta(days=30))
    assert elsewhere.within(stored) == elsewhere


@pytest.mark.parametrize("hours", [1, 5, 24, 24 * 7, 24 * 30, 24 * 365, 24 * 365 * 20])
def test_a_line_has_so_many_points_and_no_more(hours):
    span = Range.last_hours(hours, END)
    assert span.hours / (span.step / HOUR) <= MAX_POINTS
    assert span.hours / (span.fine_step / HOUR) <= MAX_POINTS


def test_a_range_is_bound_as_epoch_seconds():
    assert Range.last_hours(1, END).bound() == {"since": 1768500000, "until": 1768503600, "zone": "UTC"}


def test_what_has_passed_of_a_range_is_compared_with_as_much_of_the_time_before():
    stored, hours = Span(END - timedelta(days=9), END, 10), Range.last_hours(6, END)
    assert hours.before() == Range(hours.since - 6 * HOUR, hours.since)
    assert hours.before(stored) == Range(hours.since - 6 * HOUR, END.replace(second=0) - 6 * HOUR)
    over = Range(hours.since - HOUR, hours.until - HOUR)
    assert over.before(stored) == over.before()
    assert hours.before(Span(END, END - 9 * HOUR, 1)).until == hours.since - 6 * HOUR
