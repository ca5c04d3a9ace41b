"""rees46 and retailrocket: columns, with a header or without."""

import pytest

from model.events import Event
from model.formats import rees46, retailrocket
from model.validate import BadRow

HEADER = b"event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
ROW = b"2019-10-01 00:00:00 UTC,cart,3900821,20530,appliances.water_heater,aqua,33.20,554748717,9333dfbd"
VISIT = b"1433221332117,257597,transaction,355908,4000"


def rees46_rows(*lines: bytes):
    return list(rees46.FORMAT.read_rows(iter(enumerate(lines, start=1))))


def retailrocket_rows(*lines: bytes):
    return list(retailrocket.FORMAT.read_rows(iter(enumerate(lines, start=1))))


def test_a_rees46_row_becomes_a_canonical_event():
    (event,) = rees46_rows(HEADER, ROW)
    assert event == Event(
        event_id=event.event_id,
        user_id="554748717",
        type="cart",
        ts=1569888000000,
        item_id="3900821",
        category="appliances.water_heater",
        price=33.2,
        context={"brand": "aqua", "session": "9333dfbd"},
    )


def test_without_a_code_the_id_is_the_category_and_empty_columns_are_nothing():
    (event,) = rees46_rows(b"2019-10-01 00:00:00 UTC,view,1,20530,,,,2,")
    assert (event.category, event.price, event.context) == ("20530", None, None)


def test_a_header_names_the_columns_in_any_order_and_may_leave_some_out_or_add_some():
    (event,) = rees46_rows(b"USER_ID,product_id,shelf,event_type,event_time", b"2,1,top,view,2019-10-01T02:00:00+02:00")
    assert (event.user_id, event.item_id, event.ts, event.price) == ("2", "1", 1569888000000, None)
    (other,) = rees46_rows(b"user_id,product_id,shelf,event_type,event_time", b"2,1,low,view,2019-10-01T00:00:00Z")
    assert other.event_id != event.event_id


def test_a_header_without_a_required_column_is_what_every_row_reports():
    (bad,) = rees46_rows(b"event_time,event_type,product_id", b"2019-10-01 00:00:00 UTC,view,1")
    assert (bad.line, bad.reason, bad.error) == (2, "columns", "the header names no column user_id")


def test_a_repeated_row_is_one_event_however_its_time_and_columns_are_written():
    plain, moved = rees46_rows(ROW, ROW.replace(b"00:00:00 UTC", b"02:00:00+02:00"))
    assert plain == moved
    for column, changed in enumerate(ROW.split(b",")):
        fields = ROW.split(b",")
        fields[column] = b"2019-10-01 00:00:01 UTC" if column == 0 else b"view" if column == 1 else changed + b"1"
        (other,) = rees46_rows(b",".join(fields))
        assert other.event_id != plain.event_id


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW + b",", "columns"),
        (ROW.replace(b"cart", b"click"), "event_type"),
        (ROW.replace(b"2019-10-01", b"1 Oct 2019"), "event_time"),
        (ROW.replace(b"2019", b"1999"), "ts"),
        (ROW.replace(b"3900821", b""), "product_id"),
        (ROW.replace(b"554748717", b" "), "user_id"),
        (ROW.replace(b"33.20", b"-1"), "price"),
        (ROW.replace(b"33.20", b"33 EUR"), "price"),
        (ROW.replace(b"aqua", b"\xff"), "encoding"),
    ],
)
def test_a_damaged_rees46_row_names_the_column_at_fault(row, reason):
    (bad,) = rees46_rows(row)
    assert isinstance(bad, BadRow)
    assert bad.reason == reason


@pytest.mark.parametrize(
    ("name", "event_type"), [(b"view", "view"), (b"addtocart", "cart"), (b"transaction", "purchase")]
)
def test_a_retailrocket_row_becomes_a_canonical_event(name, event_type):
    header = b"timestamp,visitorid,event,itemid,transactionid"
    (event,) = retailrocket_rows(header, VISIT.replace(b"transaction", name))
    assert event == Event(
        event_id=event.event_id,
        user_id="257597",
        type=event_type,
        ts=1433221332117,
        item_id="355908",
        context={"order_id": "4000"},
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1433221332,257597,view,355908,", "timestamp"),
        (b"today,257597,view,355908,", "timestamp"),
        (b"1433221332117,,view,355908,", "visitorid"),
        (b"1433221332117,257597,purchase,355908,", "event"),
        (b"1433221332117,257597,view,,", "itemid"),
        (b"1433221332117,257597,view,355908", "columns"),
    ],
)
def test_a_damaged_retailrocket_row_names_the_column_at_fault(row, reason):
    (bad,) = retailrocket_rows(row)
    assert isinstance(bad, BadRow)
    assert bad.reason == reason
