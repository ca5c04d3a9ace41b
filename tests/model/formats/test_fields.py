import pytest

from model.formats.fields import number, optional_id
from model.formats.json_rows import parsed_object
from model.formats.rows import InvalidRow


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        ("19.50", 19.5),
        (" 19.50 ", 19.5),
        ("1e3", 1000),
        ("$19.50", 19.5),
        ("US$12", 12),
        ("33 EUR", 33),
        ("1.234,50 EUR", 1234.5),
        ("1,234.50", 1234.5),
        ("1'234.50 CHF", 1234.5),
        ("1\u202f234,5 €", 1234.5),
        ("1.234.567", 1_234_567),
        ("12,5", 12.5),
        ("0,125", 0.125),
        ("-5 kr", -5),
        (".5", 0.5),
    ],
)
def test_an_amount_may_have_a_currency_and_separators(given, amount):
    assert number("price", given) == amount


@pytest.mark.parametrize(
    "given", ["12k", "12 kg", "1_000", "1,2,3", "1,23,456.00", "1.234.5", "EUR 1 EUR", "(12)", "nan", "inf", "x", "٣"]
)
def test_what_is_no_amount_is_refused(given):
    with pytest.raises(InvalidRow, match=r"not a (finite )?number"):
        number("price", given)


@pytest.mark.parametrize("given", ["1,234", "$1,234", "1.234 EUR"])
def test_an_amount_that_may_be_two_is_refused(given):
    with pytest.raises(InvalidRow, match="unclear"):
        number("price", given)


def test_what_is_hostile_takes_no_time():
    with pytest.raises(InvalidRow, match="not a number"):
        number("price", "EUR" + " " * 500_000 + "x")
    deep = b'{"x":' * 1000 + b"1e+9" + b"}" * 1000
    with pytest.raises(InvalidRow, match="nests deeper"):
        parsed_object(deep)


def test_ids_that_are_json_numbers_keep_every_digit_or_are_refused():
    ids = parsed_object(
        b'{"long": 123456789012345678901234567890, "whole": 12345.0, "short": 7, "one": 1e5}', every_digit=True
    )
    found = {name: optional_id(name, given) for name, given in ids.items()}
    assert found == {"long": "123456789012345678901234567890", "whole": "12345", "short": "7", "one": "1e5"}
    lost = parsed_object(b'{"a": 2103807459595387904.0, "b": 2.10381E+18, "c": 12.5}', every_digit=True)
    for name in lost:
        with pytest.raises(InvalidRow, match=r"lost|fraction"):
            optional_id(name, lost[name])
