import pytest

from streams.lookups.item_query import InvalidQuery, ItemQuery


def test_what_is_not_asked_for_is_as_documented():
    assert ItemQuery.of({}) == ItemQuery(20, "view", frozenset({"out_of_stock"}), None)


def test_everything_can_be_asked_for():
    given = {"k": ["1000"], "goal": ["cart"], "exclude": ["seen, bought"], "category": ["Shoes > Boots"]}
    assert ItemQuery.of(given) == ItemQuery(1000, "cart", frozenset({"seen", "bought"}), "Shoes > Boots")
    assert ItemQuery.of({"exclude": [""]}).exclude == frozenset()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": ["0"]}, "k is no whole number from 1 to 1000"),
        ({"k": ["1001"]}, "k is no whole number"),
        ({"k": ["1000000"]}, "k is no whole number"),
        ({"k": ["9" * 10_000]}, "k is no whole number"),
        ({"k": ["+5"]}, "k is no whole number"),
        ({"k": ["\u0665"]}, "k is no whole number"),
        ({"k": [""]}, "k is no whole number"),
        ({"k": ["5", "6"]}, "give k once"),
        ({"goal": ["love"]}, "goal is none of view, cart, purchase"),
        ({"exclude": ["seen,old"]}, "exclude holds something else than seen, bought, out_of_stock"),
        ({"category": [""]}, "category has no text"),
        ({"category": ["ü" * 600]}, "more than 1024 bytes"),
        ({"K": ["5"]}, "'K' is no parameter; there are k, goal, exclude, category"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_parameter(given, message):
    with pytest.raises(InvalidQuery, match=message):
        ItemQuery.of(given)
