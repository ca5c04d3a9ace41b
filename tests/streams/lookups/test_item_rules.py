import json

import pytest

from streams.lookups.item_rules import Boost, ItemRules, ItemRulesError, Never, Pin, RulesFile, read_rules

YAML = """
never:
  items: [sku-1]
  brands: [Acme]
  categories: [Shoes > Boots]
boosts:
  - {brand: Other, by: 0.5}
  - {category: Hats, by: -1}
pins:
  - {item: sku-7, place: 1}
  - {item: sku-8, place: 3, goal: cart, category: Shoes}
per_category: 3
"""
RULES = ItemRules(
    Never(("sku-1",), ("Acme",), ("Shoes > Boots",)),
    (Boost(0.5, brand="Other"), Boost(-1, category="Hats")),
    (Pin("sku-7", 1), Pin("sku-8", 3, "cart", "Shoes")),
    3,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rules.yml"


def test_yaml_and_json_say_the_same(path, tmp_path):
    path.write_text(YAML)
    assert read_rules(path) == RULES
    as_json = tmp_path / "rules.json"
    as_json.write_text(json.dumps({"boosts": [{"item": "i", "by": 2}]}))
    assert read_rules(as_json) == ItemRules(boosts=(Boost(2, item="i"),))
    path.write_text("{}")
    assert read_rules(path) == ItemRules()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("never: {skus: [a]}", "unknown field `skus` - at `$.never`"),
        ("never: {items: [12]}", "Expected `str`, got `int` - at `$.never.items[0]`"),
        ("boosts: [{brand: a, by: .inf}]", "at `$.boosts[0].by`"),
        ("boosts: [{brand: a, by: 1000}]", "Expected `float` <= 100.0 - at `$.boosts[0].by`"),
        ("boosts: [{by: 1}]", "boosts[0] must name one of item, brand and category"),
        ("boosts: [{by: 1, item: a, brand: b}]", "boosts[0] must name one of item, brand and category"),
        ("pins: [{item: a, place: 0}]", "Expected `int` >= 1 - at `$.pins[0].place`"),
        ("pins: [{item: a, place: 1, goal: love}]", "Invalid enum value 'love' - at `$.pins[0].goal`"),
        ("pins: [{item: a, place: 1}, {item: b, place: 1, goal: cart}]", "pins[1] is at place 1, where pins[0] is"),
        ("pins: [{item: a, place: 1}, {item: a, place: 2}]", "pins[1] is the item of pins[0]"),
        ("{never: {items: [a]}, pins: [{item: a, place: 1}]}", "pins[0] is an item of never"),
        ("per_category: 0", "Expected `int` >= 1 - at `$.per_category`"),
        ("[", "rules.yml: "),
        ("never", "Expected `object`, got `str`"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(path, written, message):
    path.write_text(written)
    with pytest.raises(ItemRulesError) as raised:
        read_rules(path)
    assert message in str(raised.value)
    assert str(raised.value).startswith("worker.item_rules: ")
    assert "\n" not in str(raised.value)


def test_each_thing_that_is_wrong_has_a_line(path):
    path.write_text("{boosts: [{by: 1}, {by: 2}], pins: [{item: a, place: 1}, {item: a, place: 1}]}")
    with pytest.raises(ItemRulesError) as raised:
        RulesFile(path)
    assert len(str(raised.value).splitlines()) == 4


def test_pins_for_different_queries_may_share_a_place(path):
    pins = ("{item: a, place: 1, goal: cart}", "{item: b, place: 1, goal: view, category: x}")
    path.write_text(f"pins: [{', '.join(pins)}, {{item: c, place: 1, goal: view, category: x > y}}]")
    assert len(read_rules(path).pins) == 3


def test_a_file_that_is_not_there_ends_the_start(path):
    with pytest.raises(ItemRulesError, match="cannot be read: No such file"):
        RulesFile(path)
    assert RulesFile(None).status is None


def test_a_broken_file_leaves_the_rules_of_before_and_is_logged_once(path, capsys):
    path.write_text("per_category: 2")
    rules = RulesFile(path)
    assert (rules.rules.per_category, rules.status) == (2, "current")
    path.write_text("per_category: many")
    rules.look()
    rules.look()
    assert (rules.rules.per_category, rules.status) == (2, "outdated")
    assert capsys.readouterr().out.count("the rules of before stay in force") == 1
    path.unlink()
    rules.look()
    assert (rules.rules.per_category, rules.status) == (2, "outdated")
    path.write_text("per_category: 44")
    rules.look()
    assert (rules.rules.per_category, rules.status) == (44, "current")
