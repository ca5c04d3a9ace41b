"""A small trained next-item model: shoppers who go round and round, each in one of two circles of items."""

from functools import cache
from random import Random

from model.items.item import Item
from model.items.network import NextItemConfig
from model.training.next_items import NextItemSettings, describe, learn
from tests.model.items.visits import journeys_of, visit

CIRCLES = (("a1", "a2", "a3", "a4"), ("b1", "b2", "b3", "b4"))


def circling(shoppers=60, steps=7, seed=1):
    """Return visits in which an item follows the one before it in its circle, the first circle twice as often.

    Some end in a cart or a purchase.
    """
    random = Random(seed)
    visits = []
    for shopper in range(shoppers):
        circle, start = random.choice((CIRCLES[0], *CIRCLES)), random.randrange(4)
        items = [circle[(start + step) % 4] for step in range(random.randrange(2, steps))]
        end = random.choice(([], [f"cart {items[-1]}"], [f"cart {items[-1]}", f"purchase {items[-1]}"]))
        visits.append(visit(f"u{shopper}", shopper, *items, *end))
    return visits


@cache
def trained():
    """Return the journeys and a model of them; the catalogue has words and vectors, and an item that nobody viewed."""
    items = tuple(
        Item(item_id=name, title=f"thing {name[0]}", category=name[0].upper(), price=9.5, vector=[float(n), 1.0])
        for n, circle in enumerate(CIRCLES)
        for name in (*circle, f"{circle[0][0]}-new")
    )
    journeys = journeys_of(*circling(), item_ids=[item.item_id for item in items])
    columns = describe(journeys, items)
    settings = NextItemSettings(epochs=4, batch=16)
    return journeys, learn(journeys, columns, NextItemConfig(dimension=8, vector_size=2), settings, lambda *_: None)
