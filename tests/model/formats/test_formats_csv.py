"""rees46 and retailrocket: columns, with a header or without."""

import json

import pytest

from model.events import Event
from model.formats import rees46, retailrocket
from model.formats.rows import InvalidHeaderError
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
    assert other.event_id == event.event_id


def test_a_header_without_a_required_column_is_refused():
    with pytest.raises(InvalidHeaderError, match=r"line 1\) names no column user_id; it names event_time, "):
        rees46_rows(b"event_time,event_type,product_id", b"2019-10-01 00:00:00 UTC,view,1")


def test_a_header_that_names_a_column_twice_is_refused():
    with pytest.raises(InvalidHeaderError, match="names column price twice"):
        rees46_rows(HEADER + b",price", ROW + b",1")


@pytest.mark.parametrize("above", [b"# events of 2019-10", b"sep=,", b"Export of the shop;;;", b"\xff"])
def test_a_header_may_stand_below_lines_that_are_no_rows(above):
    swapped = b"event_time,event_type,user_id,brand,product_id"
    (event,) = rees46_rows(above, swapped, b"2019-10-01 00:00:00 UTC,view,2,aqua,1")
    assert (event.user_id, event.item_id) == ("2", "1")


def test_a_header_comes_again_where_files_were_joined():
    swapped = b"event_time,event_type,user_id,product_id"
    first, second = rees46_rows(HEADER, ROW, swapped, b"2019-10-01 00:00:00 UTC,view,2,1")
    assert (first.user_id, second.user_id, second.item_id) == ("554748717", "2", "1")


def test_rows_below_a_header_of_other_names_are_not_read_by_position():
    header = b"zeit,artikel,kunde,gruppe,name,marke,preis,sitzung,land"
    with pytest.raises(InvalidHeaderError, match="line 1 looks like a header, but of other columns"):
        rees46_rows(header, ROW)


@pytest.mark.parametrize("delimiter", [b";", b"\t", b"|", b"\x01", b"^", b"~"])
def test_columns_may_be_separated_otherwise(delimiter):
    (plain,) = rees46_rows(ROW)
    assert rees46_rows(ROW.replace(b",", delimiter)) == [plain]
    row = ROW.replace(b",", delimiter).replace(b"33.20", b'"33,20"')
    assert rees46_rows(HEADER.replace(b",", delimiter), row) == [plain]


def test_a_quoted_field_may_go_over_lines_and_a_stray_quote_stands_for_itself():
    (event,) = rees46_rows(HEADER, ROW.partition(b"aqua")[0] + b'"a', b'qua",33.20,2,s')
    assert (event.user_id, event.context["brand"]) == ("2", "a\nqua")
    rows = rees46_rows(HEADER, ROW.replace(b"aqua", b'"aqua'), *[ROW] * 3)
    assert [type(row) for row in rows] == [BadRow, Event, Event, Event]


def test_a_quote_that_does_not_end_where_a_field_does_takes_no_rows_with_it():
    opened = ROW.replace(b"aqua", b'"aqua')
    rows = rees46_rows(HEADER, ROW, opened, opened, ROW, opened, ROW.replace(b"aqua", b'19" tv'), ROW)
    assert [type(row) for row in rows] == [Event, BadRow, BadRow, Event, BadRow, Event, Event]


def test_rows_may_be_objects_with_the_names_of_the_columns():
    (plain,) = rees46_rows(ROW)
    names = HEADER.decode().split(",")
    row = dict(zip(names, ROW.decode().split(","), strict=True)) | {"price": 33.2, "user_id": 554748717.0}
    assert rees46_rows(json.dumps(row).encode()) == [plain]


def test_an_order_is_one_purchase_and_what_does_not_identify_a_row_changes_nothing():
    first, second = retailrocket_rows(VISIT, VISIT.replace(b"355908", b"7").replace(b"2117", b"2119"))
    assert first.event_id == second.event_id == "purchase:4000"
    plain, moved, unbranded = rees46_rows(
        ROW, ROW.replace(b"00:00:00 UTC", b"02:00:00+02:00"), ROW.replace(b"aqua", b"")
    )
    assert plain == moved
    assert unbranded.event_id == plain.event_id
    for column, other in {0: b"2019-10-01 00:00:01 UTC", 1: b"view", 2: b"7", 7: b"7"}.items():
        fields = ROW.split(b",")
        fields[column] = other
        (changed,) = rees46_rows(b",".join(fields))
        assert changed.event_id != plain.event_id


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
        (ROW.replace(b"33.20", b"33 pieces"), "price"),
        (ROW.replace(b"3900821", b"2.10381E+18"), "product_id"),
        (ROW.replace(b"554748717", b"undefined"), "user_id"),
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
