import re
from pathlib import Path

import pytest
import yaml

from model.events import EVENT_TYPES
from model.shop import NO_SHOP, ShopError, distinct_hashes, shop_of

PAGE = Path(__file__).parents[2] / "docs" / "shop.md"


def test_built_in_types_keep_their_codes_and_own_ones_follow():
    shop = shop_of({"types": {"joined": "none", "one click": "purchase"}})
    assert shop.event_types == (*EVENT_TYPES, "joined", "one click")
    assert shop.behaves_like == (*EVENT_TYPES, "other", "purchase")
    assert shop.type_hashes[:10] == (0,) * 10
    assert len(set(shop.type_hashes[10:])) == 2


def test_without_a_definition_there_is_nothing_own():
    assert shop_of({}) == NO_SHOP
    assert not NO_SHOP.has_own_events
    assert NO_SHOP.event_types == EVENT_TYPES


def test_hashes_are_distinct_and_what_is_added_behind_changes_none():
    names = [f"name {number}" for number in range(2000)]  # some of so many collide in 16 bits
    hashes = distinct_hashes(names)
    assert len(set(hashes)) == 2000
    assert distinct_hashes(names[:1000]) == hashes[:1000]
    assert all(0 < one < 2**16 for one in hashes)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL))
def test_what_the_page_shows_is_a_definition(block):
    assert shop_of(yaml.safe_load(block)) != NO_SHOP


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"types": {"view": "cart"}}, "types.view: is a built-in type"),
        ({"types": {"joined": "wave"}}, "types.joined: 'wave' is no built-in type"),
        ({"types": {"": "none"}}, "types: a name has"),
        ({"attributes": {"Size": {"kind": "numeric"}}}, "attributes.Size: write names in lower case"),
        ({"attributes": {"size": {"kind": "number"}}}, "attributes"),
        ({"attributes": {"size": {}}}, "attributes"),
        ({"attributes": {f"a{number}": {"kind": "numeric"} for number in range(33)}}, "33 are more than 32"),
        ({"attribute": {}}, "attribute"),
        (
            {"attributes": {"size": {"kind": "numeric", "from": "a..b"}}},
            "attributes.size.from: 'a..b' has a part without",
        ),
        ({"types": {5: "none"}}, "types: a name is no text: write it in quotes"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(definition, said):
    with pytest.raises(ShopError, match=re.escape(said)) as refusal:
        shop_of(definition)
    assert "\n" not in str(refusal.value)
