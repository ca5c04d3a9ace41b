"""Definitions of shops, fixed and generated, and events of their shoppers."""

import json
from random import Random
from typing import Any

from hypothesis import strategies as st

from model.events import EVENT_TYPES
from model.shop import Shop, shop_of

START_MS = 1_700_000_000_000
PATHS = (None, "size", "price", "context.device", "properties.total", "properties.cart.value", "attributes.size")


def large_definition(types: int = 40, attributes: int = 10) -> dict[str, Any]:
    """A file's content, for a shop of so many own types and attributes."""
    likes, paths = (*EVENT_TYPES, "none"), ("field_{}", "context.c_{}", "properties.p_{}")
    return {
        "types": {f"Own type {number}": likes[number % len(likes)] for number in range(types)},
        "attributes": {
            f"attribute_{number}": {"kind": ("categorical", "numeric")[number % 2]}
            | ({} if number < 4 else {"from": paths[number % len(paths)].format(number)})
            for number in range(attributes)
        },
    }


def large_shop() -> Shop:
    """A shop of 40 own types and 10 attributes."""
    return shop_of(large_definition())


def own_events(shop: Shop, count: int, *, users: int = 8, seed: int = 1) -> list[dict[str, Any]]:
    """Canonical events that use what the shop defines; some attributes are missing, or of the wrong kind."""
    random, time_ms, events = Random(seed), START_MS, []
    for number in range(count):
        time_ms += random.choice([0, 700, 20_000, 1_900_000])
        event: dict[str, Any] = {
            "event_id": f"e{number}",
            "user_id": f"u{random.randrange(users)}",
            "type": random.choice(shop.event_types),
            "ts": time_ms,
            "item_id": random.choice([None, "i1", "i2", "i3"]),
            "category": random.choice([None, "c1", "c2"]),
            "price": random.choice([None, 0.0, 9.99, 250.0]),
        }
        for name, attribute in shop.attributes.items():
            if random.random() < 0.3 or attribute.path == "price":
                continue
            given = random.choice(
                ["red", "blue", "größe 4", 'a "b"', 7, True, 12.5, -3, "4.5", "x" * 200, None, {"a": 1}]
            )
            if attribute.kind == "numeric" and random.random() < 0.7:
                given = round(random.gauss(50, 30), 2)
            *outer, field = (attribute.path or f"attributes.{name}").split(".")
            inside = event
            for part in outer:
                inside = inside.setdefault(part, {})
            inside[field] = given
        events.append(event)
    return events


def as_json(events: list[dict[str, Any]]) -> list[bytes]:
    """The events as producers write them."""
    return [json.dumps(event, ensure_ascii=False).encode() for event in events]


_names = st.sampled_from(["size", "total", "price", "brand", "device"])
_attributes = st.builds(
    lambda kind, path: {"kind": kind} | ({} if path is None else {"from": path}),
    st.sampled_from(["numeric", "categorical"]),
    st.sampled_from(PATHS),
)
shops = st.builds(
    lambda types, attributes: shop_of({"types": types, "attributes": attributes}),
    st.dictionaries(
        st.sampled_from(["joined", "Größe", "two words", "returned"]), st.sampled_from([*EVENT_TYPES, "none"])
    ),
    st.dictionaries(_names, _attributes, max_size=4),
)
"""Generated definitions."""
