import numpy as np
import pytest

from model.events import Event
from model.goals import GoalReader
from model.shop import ShopError, shop_of

GOOD = {"event": "cart", "within": "1h"}


def shop(**goals):
    definition = {
        "types": {"add_to_bag": "cart", "subscribe": "none", "order": "purchase"},
        "attributes": {"brand": {"kind": "categorical"}, "stock": {"kind": "numeric"}},
        "goals": goals,
    }
    return shop_of(definition)


def meets(where, event_type="cart", **fields):
    reader = GoalReader(shop(goal={"event": "cart", "within": "1h", "where": where}))
    return bool(reader.met([Event("e", "u", event_type, 10**12, **fields)])[0])


@pytest.mark.parametrize(
    ("event", "types"),
    [
        ("cart", {"cart", "add_to_bag"}),
        ("add_to_bag", {"add_to_bag"}),
        (["subscribe", "refund"], {"subscribe", "refund"}),
        ("purchase", {"purchase", "order"}),
        ("other", {"other", "subscribe", "unheard_of"}),
    ],
)
def test_a_goal_is_met_by_its_types_and_by_those_that_behave_like_them(event, types):
    reader = GoalReader(shop(goal={"event": event, "within": "1h"}))
    names = ["view", "cart", "add_to_bag", "subscribe", "refund", "purchase", "order", "other", "unheard_of"]
    met = reader.met([Event(name, "u", name, 10**12) for name in names])
    assert {name for name, one in zip(names, met.tolist(), strict=True) if one} == types


@pytest.mark.parametrize(
    ("where", "fields", "is_met"),
    [
        ({"price": {"at_least": 50}}, {"price": 50.0}, True),
        ({"price": {"at_least": 50}}, {"price": 49.9}, False),
        ({"price": {"at_least": 50}}, {}, False),
        ({"price": {"below": 50}}, {"price": 49.9}, True),
        ({"price": {"below": 50}}, {"price": 50.0}, False),
        ({"price": {"at_least": 0, "below": 50}}, {"price": 7.0}, True),
        ({"quantity": 2}, {"quantity": 2.0}, True),
        ({"quantity": {"one_of": [2, 3]}}, {"quantity": 4.0}, False),
        ({"value": {"at_least": 50}}, {"price": 30.0, "quantity": 2.0}, True),
        ({"value": {"at_least": 50}}, {"price": 30.0}, False),
        ({"rating": {"below": 3}}, {"rating": 2.0}, True),
        ({"item_id": "i1"}, {"item_id": "i1"}, True),
        ({"category": {"one_of": ["bags", "hats"]}}, {"category": "hats"}, True),
        ({"category": {"one_of": ["bags", "hats"]}}, {"category": "shoes"}, False),
        ({"channel": "email"}, {"context": {"channel": "email"}}, True),
        ({"channel": "email"}, {}, False),
        ({"brand": "acme"}, {"attributes": {"brand": "acme"}}, True),
        ({"brand": "acme"}, {"attributes": {"brand": "other"}}, False),
        ({"stock": {"below": 3}}, {"attributes": {"stock": 2.0}}, True),
        ({"stock": {"below": 3}, "price": {"at_least": 1}}, {"attributes": {"stock": 2.0}}, False),
    ],
)
def test_an_event_meets_a_goal_if_every_condition_holds(where, fields, is_met):
    assert meets(where, **fields) is is_met


def test_each_goal_has_its_bit():
    reader = GoalReader(
        shop(a=GOOD, b={"event": "view", "within": "1h"}, c={"event": ["view", "cart"], "within": "1d"})
    )
    assert reader.met([Event("e", "u", name, 10**12) for name in ("cart", "view", "search")]).tolist() == [5, 6, 0]


def test_a_purchase_is_worth_its_price_times_its_quantity():
    events = [
        Event("e1", "u", "purchase", 10**12, price=10.0),
        Event("e2", "u", "order", 10**12, price=10.0, quantity=3.0),
        Event("e3", "u", "purchase", 10**12),
        Event("e4", "u", "cart", 10**12, price=10.0),
        Event("e5", "u", "purchase", 10**12, price=10.0, quantity=-2.0),
        Event("e6", "u", "purchase", 10**12, price=1e300, quantity=1e300),
    ]
    np.testing.assert_array_equal(GoalReader(shop()).values(events), np.array([10, 30, np.nan, 0, 0, 1e12], np.float32))


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ({**GOOD, "where": {"price": {}}}, "goals.goal.where.price: asks nothing"),
        ({**GOOD, "where": {"price": {"at_least": 5, "below": 5}}}, "goals.goal.where.price: no value is at least 5"),
        ({**GOOD, "where": {"price": {"is": 5, "below": 5}}}, "goals.goal.where.price: no value is 5.0 and below 5"),
        ({**GOOD, "where": {"price": {"at_least": float("nan")}}}, "goals.goal.where.price: no value is at least nan"),
        ({**GOOD, "where": {"price": "dear"}}, "'dear' is no number"),
        ({**GOOD, "where": {"brand": 3}}, "is no text: write it in quotes"),
        ({**GOOD, "where": {"brand": {"at_least": 3}}}, "goals.goal.where.brand: is a text"),
        ({**GOOD, "where": {"colour": "red"}}, "'colour' is neither one of price"),
        ({**GOOD, "within": "1 hour"}, "goals.goal.within"),
        ({**GOOD, "event": "carts"}, "goals.goal.event: 'carts'"),
    ],
)
def test_a_goal_that_makes_no_sense_is_refused_with_its_place(goal, said):
    with pytest.raises(ShopError, match=said):
        shop(goal=goal)


@pytest.mark.parametrize("name", ["session", "expected_value"])
def test_a_goal_is_not_called_like_what_a_model_predicts_anyway(name):
    with pytest.raises(ShopError, match=rf"goals\.{name}"):
        shop(**{name: GOOD})


def test_goals_and_horizons_have_titles_and_words():
    one = shop(dear_cart={"event": "cart", "within": "2d", "where": {"price": {"at_least": 50}, "brand": "acme"}})
    assert [one.title(name) for name in ("session", "1h", "24h", "dear_cart")] == [
        "Rest of the session",
        "Within 1 hour",
        "Within 24 hours",
        "Dear cart",
    ]
    assert one.goal("dear_cart").words == "cart with price at least 50 and brand acme, within 2 days"
    assert one.goal("session").words == "purchase, in the rest of the session"
    assert one.within(("session", "1h", "dear_cart")) == ("session", "1h", "2d")
