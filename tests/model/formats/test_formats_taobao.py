import pytest

from model.events import Event
from model.formats.taobao import FORMAT
from model.validate import BadRow


def rows_of(*lines: bytes):
    return list(FORMAT.read_rows(iter(enumerate(lines, start=1))))


def test_a_row_becomes_a_canonical_event():
    (event,) = rows_of(b"1002166,4274395,1615537,pv,1511539217")
    assert event == Event(
        event_id=event.event_id,
        user_id="1002166",
        type="view",
        ts=1511539217000,
        item_id="4274395",
        category="1615537",
    )


@pytest.mark.parametrize(
    ("behaviour", "event_type"), [(b"pv", "view"), (b"cart", "cart"), (b"fav", "favorite"), (b"buy", "purchase")]
)
def test_every_behaviour_has_its_type(behaviour, event_type):
    (event,) = rows_of(b"1,2,3," + behaviour + b",1511539217")
    assert event.type == event_type


@pytest.mark.parametrize("header", [b"u,i,c,b,ts", b"user_id,item_id,category_id,behavior_type,timestamp"])
def test_a_header_is_no_row(header):
    assert rows_of(header, b"1,2,3,pv,1511539217") == rows_of(b"1,2,3,pv,1511539217")


def test_a_repeated_row_is_the_same_event_however_it_is_written():
    plain, quoted, spaced, decimal = rows_of(
        b"1,2,3,pv,1511539217", b'"1","2","3","pv","1511539217"', b"1, 2, 3, pv, 1511539217", b"1,2,3,pv,1511539217.0"
    )
    assert plain == quoted == spaced == decimal


def test_rows_that_differ_in_any_column_are_different_events():
    rows = rows_of(
        b"1,2,3,pv,1511539217",
        b"12,2,3,pv,1511539217",
        b"1,22,3,pv,1511539217",
        b"1,2,33,pv,1511539217",
        b"1,2,3,fav,1511539217",
        b"1,2,3,pv,1511539218",
    )
    assert len({event.event_id for event in rows}) == len(rows)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,2,3,pv", "columns"),
        (b"1,2,3,pv,1511539217,6", "columns"),
        (b"1,2,3,click,1511539217", "behaviour"),
        (b"1,2,3,PV,1511539217", "behaviour"),
        (b"1,2,3,,1511539217", "behaviour"),
        (b"1,2,3,pv,", "ts"),
        (b"1,2,3,pv,yesterday", "ts"),
        (b"1,2,3,pv,nan", "ts"),
        (b"1,2,3,pv,-1511539217", "ts"),
        (b"1,2,3,pv,1_511_539_217", "ts"),
        (b"1,2,3,pv,1511539217.5", "ts"),
        (b"1,2,3,pv,946684799", "ts"),
        (b"1,2,3,pv,4102444800", "ts"),
        (b"1,2,3,pv,1511539217000", "ts"),
        (b"1,2,3,pv,9" + b"9" * 5000, "ts"),
        ("1,2,3,pv,\uff11511539217".encode(), "ts"),
        (b",2,3,pv,1511539217", "user"),
        (b"1,,3,pv,1511539217", "item"),
        (b"1,2,,pv,1511539217", "category"),
        (b"1" * 1025 + b",2,3,pv,1511539217", "user"),
        (b"1,2,3,pv,1511539217\0", "encoding"),
        (b"1,2,\xff,pv,1511539217", "encoding"),
    ],
)
def test_a_damaged_row_names_the_column_at_fault(row, reason):
    (bad,) = rows_of(row)
    assert isinstance(bad, BadRow)
    assert bad.reason == reason
