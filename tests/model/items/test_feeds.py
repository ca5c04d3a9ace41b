import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.items.feeds import guess_format, read_items
from model.items.item import Item
from model.items.rows import BadItem
from service.errors import FormatError

RSS = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title>
<item><g:id>1</g:id><title>Plain</title><g:title>Boots</g:title><g:product_type>Shoes &gt; Boots</g:product_type>
<g:product_type>Second</g:product_type><g:google_product_category>187</g:google_product_category>
<g:price>12.90 EUR</g:price><g:sale_price>9.90 EUR</g:sale_price><g:availability>in_stock</g:availability>
<g:shipping><g:price>4.00 EUR</g:price></g:shipping><g:item_group_id>x</g:item_group_id></item>
<item><g:title>no id</g:title></item>
<item><g:id>3</g:id><g:price>cheap</g:price></item>
<item><g:id>4</g:id><g:shipping><g:price>4.00 EUR</g:price></g:shipping>
<g:description><![CDATA[warm & dry]]></g:description>
<g:google_product_category>187</g:google_product_category>
</item>
</channel></rss>"""
FIRST = Item("1", "Boots", category="Shoes > Boots", price=9.9, currency="EUR", in_stock=True)


def rows(tmp_path, content: str | bytes, name="items", **options):
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_items(file, **options))


def summary(found):
    return [row if isinstance(row, Item) else (row.line, row.reason, row.item_id) for row in found]


def test_a_feed_as_rss_loads_what_is_whole_and_says_where_the_rest_is_wrong(tmp_path):
    assert summary(rows(tmp_path, RSS)) == [
        FIRST,
        (7, "item_id", None),
        (8, "price", "3"),
        Item("4", description="warm & dry", category="187"),
    ]


def test_a_feed_as_atom(tmp_path):
    atom = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><id>tag:shop</id>
    <entry><id>tag:1</id><g:id>1</g:id><title>Boots</title>
    <g:availability>out of stock</g:availability></entry></feed>"""
    assert rows(tmp_path, atom) == [Item("1", "Boots", in_stock=False)]


def test_a_feed_as_tab_separated_text(tmp_path):
    text = (
        "id\ttitle\tproduct type\tprice\tsale price\tavailability\titem_group_id\n"
        '1\tBoots\tShoes > Boots\t12.90 EUR\tEUR 9.90\tin stock\tx\n2\tTV 42" black\t\t1,299.00 USD\t\t\t\n'
    )
    assert rows(tmp_path, text, format_name="google") == [
        FIRST,
        Item("2", 'TV 42" black', price=1299.0, currency="USD"),
    ]


@pytest.mark.parametrize("size", [70_000, 3_000_000])
def test_a_feed_without_line_ends_is_read_whole(tmp_path, size):
    products = "".join(f"<item><g:id>{number}</g:id></item>" for number in range(size // 30))
    feed = f'<rss xmlns:g="http://base.google.com/ns/1.0"><channel>{products}</channel></rss>'
    assert [row.item_id for row in rows(tmp_path, feed)] == [str(number) for number in range(size // 30)]


def test_what_is_damaged_in_the_middle_is_read_up_to_there(tmp_path):
    file = tmp_path / "feed.xml"
    file.write_text(RSS.replace("<item><g:title>no id", "<item><broken no id"))
    found = read_items(file)
    assert next(found) == FIRST
    with pytest.raises(FormatError, match=r"feed.xml is damaged in line 7"):
        list(found)


@pytest.mark.parametrize(
    "declaration",
    ['<!ENTITY a "aaaa">', '<!ENTITY a SYSTEM "file:///etc/passwd">', '<!ENTITY % a SYSTEM "file:///x"> %a;'],
)
def test_a_feed_that_defines_entities_is_refused(tmp_path, declaration):
    with pytest.raises(FormatError, match="defines entities"):
        rows(tmp_path, f"<!DOCTYPE rss [{declaration}]><rss><item><id>&a;</id></item></rss>")


def test_a_tag_that_does_not_end_is_refused_before_it_fills_the_memory(tmp_path):
    with pytest.raises(FormatError, match="has a tag of more than 1,048,576 bytes in line 2"):
        rows(tmp_path, '<rss>\n<item a="' + "x" * 3_000_000 + '"></item></rss>')
    long = f"<rss><item><id>1</id><title>{'x' * 3_000_000}</title></item></rss>"
    assert len(rows(tmp_path, long)[0].title) < 200_000


def test_json_lines(tmp_path):
    lines = [
        {"item_id": "1", "price": 2, "vector": [1, 2]},
        {"item_id": "2", "price": "2"},
        {"item_id": "3", "vector": [1]},
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n\n{"item_id'
    expected = [Item("1", price=2.0, vector=[1.0, 2.0]), (2, "price", "2"), (3, "vector", "3"), (5, "json", None)]
    assert summary(rows(tmp_path, text)) == expected
    assert summary(rows(tmp_path, gzip.compress(text.encode()))) == expected


@pytest.mark.parametrize("given", ["2026-01-05", "2026-01-05T00:00:00Z", "1767571200000"])
def test_a_table_may_say_since_when_the_shop_has_an_item(tmp_path, given):
    text = f"id,published_at\n1,{given}\n2,\n3,yesterday\n"
    assert summary(rows(tmp_path, text)) == [Item("1", added_at=1_767_571_200_000), Item("2"), (4, "added_at", "3")]


def test_csv_of_any_column_order_and_separator(tmp_path):
    text = 'price;id;vector;name;stock\n"12,90";1;0.5 1;"two\nlines";0\n;2;[1,2];x;yes\n'
    assert rows(tmp_path, text) == [
        Item("1", "two\nlines", price=12.9, in_stock=False, vector=[0.5, 1.0]),
        Item("2", "x", in_stock=True, vector=[1.0, 2.0]),
    ]


def test_a_quote_that_never_ends_costs_its_own_row_only(tmp_path):
    text = 'id,title\n1,"Boots\n2,b\n3,c\n' + "".join(f"{number},t\n" for number in range(4, 400))
    found = summary(rows(tmp_path, text))
    assert found[0] == (2, "columns", None)
    assert found[1:] == [Item("2", "b"), Item("3", "c"), *(Item(str(number), "t") for number in range(4, 400))]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,a,b,c,d", "columns"),
        (b"\xff,a,1,", "encoding"),
        (b",a,1,", "item_id"),
        (b"1,a,-1,", "price"),
        (b"1,a,nan,", "price"),
        (b"1,a,1.234.5,", "price"),
        (b"1,a,1,0.5 x", "vector"),
        (b"1,a,1,nan", "vector"),
        (b"1,a,1,1 nan", "vector"),
    ],
)
def test_a_bad_row_of_a_table_names_its_fault(tmp_path, row, reason):
    found = rows(tmp_path, b"id,title,price,vector\n0,a,1,\n" + row + b"\n2,a,1,\n")
    assert [row.reason if isinstance(row, BadItem) else row.item_id for row in found] == ["0", reason, "2"]


def test_parquet(tmp_path):
    file = tmp_path / "items.parquet"
    table = {
        "item_id": pa.array([1, 2, None]),
        "title": ["a", None, "c"],
        "category": [["Shoes", "Boots"], None, []],
        "price": [1.5, float("nan"), -1],
        "in_stock": [True, None, False],
        "vector": pa.array([[0.5, 1], None, None], pa.list_(pa.float32())),
        "created_at": pa.array([1_767_571_200_000, None, None], pa.timestamp("ms")),
        "other": [1, 2, 3],
    }
    pq.write_table(pa.table(table), file)
    assert summary(read_items(file)) == [
        Item(
            "1", "a", category="Shoes > Boots", price=1.5, in_stock=True, vector=[0.5, 1.0], added_at=1_767_571_200_000
        ),
        Item("2"),
        (3, "price", None),
    ]


def test_strict_stops_at_the_first_bad_row(tmp_path):
    with pytest.raises(
        FormatError, match=r"items, line 7: item_id is missing; correct the row or read without --strict"
    ):
        rows(tmp_path, RSS, strict=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("<rss></rss>", "holds no items"),
        ("a,b\n1,2\n", "has no column item_id or id"),
        ('{"x":1}\n{"x":2}\n', r"none of its first 2 rows is one \(line 1: item_id is missing\)"),
        ("PAR1 and no more", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_holds_no_items_is_refused(tmp_path, content, message):
    with pytest.raises(FormatError, match=message):
        rows(tmp_path, content)


def test_a_missing_file_and_an_unknown_format_are_refused(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        list(read_items(tmp_path / "none"))
    with pytest.raises(FormatError, match="unknown format 'x'"):
        rows(tmp_path, RSS, format_name="x")


@pytest.mark.parametrize(
    ("content", "name"),
    [(RSS, "google"), ('\ufeff {"item_id":1}', "cartcast"), ("id,title", "csv"), ("PAR1", "parquet")],
)
def test_a_format_is_known_by_its_beginning(tmp_path, content, name):
    file = tmp_path / "file"
    file.write_text(content, encoding="utf-8")
    assert guess_format(file) == name
