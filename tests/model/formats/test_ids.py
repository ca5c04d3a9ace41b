import pytest

from model.formats.ids import checked_id, known_id
from model.formats.rows import InvalidRow


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12345", "12345"),
        (" u1 ", "u1"),
        ("12345.0", "12345"),
        ("541312140.000", "541312140"),
        ("1234567890.1234567890", "1234567890.1234567890"),
        ("5.413121400000000000e+08", "541312140"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("12E4", "12E4"),
        ("1e5", "1e5"),
        ("0", "0"),
        ("-", "-"),
    ],
)
def test_an_id_keeps_its_digits(text, found):
    assert checked_id("user", text) == found


@pytest.mark.parametrize("text", ["2.10381E+18", "5.41312e11", "5,41312E+11", "2E+18", "1.5e-7", "2.1E300"])
def test_an_id_in_scientific_notation_has_lost_its_digits(text):
    with pytest.raises(InvalidRow, match="scientific notation"):
        checked_id("user", text)


def test_a_number_with_a_point_beyond_what_a_double_holds_has_lost_digits():
    assert checked_id("user", "9007199254740991.0") == "9007199254740991"
    with pytest.raises(InvalidRow, match="last digits are lost"):
        checked_id("user", "2103807459595387904.0")


@pytest.mark.parametrize(
    "text",
    ["", "  ", "undefined", "NULL", "NaN", "None", "<NA>", "\\N", "(not set)", "00000000-0000-0000-0000-000000000000"],
)
def test_a_word_for_nothing_is_no_id(text):
    assert known_id("user", text) is None
    with pytest.raises(InvalidRow, match="is empty" if not text.strip() else "is a word for no value"):
        checked_id("user", text)
