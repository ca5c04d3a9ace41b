"""What the simulated shop says of its items."""

import msgspec
import numpy as np
import pytest

from model.simulator import SimulationSettings, simulated_shop
from model.simulator.catalogue import Catalogue
from model.simulator.styles import BRAND_SHARE, WORDS, Styles

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def shop():
    return simulated_shop(SimulationSettings(events=20_000, users=200, items=600))


@pytest.fixture(scope="module")
def styles():
    return Styles.drawn(Catalogue.drawn(4000))


def test_an_item_is_told_when_it_arrives_and_when_its_stock_changes(shop):
    stock, start_ms, told = shop.oracle.tastes.stock, SimulationSettings.start_ms, {}
    for line in shop.items:
        before = told.get(line.item_id)
        assert before is None or before.in_stock != line.in_stock
        told[line.item_id] = line
        if before is None:
            number = shop.oracle.item_ids.index(line.item_id)
            assert line.ts == start_ms + stock.arrival_days[number] * DAY_MS
        assert line.added_at == (line.ts if before is None else before.added_at)
    assert [line.ts for line in shop.items] == sorted(line.ts for line in shop.items)
    last = stock.day_of(np.array([max(event.ts for event in shop.events)]))
    in_stock = stock.for_sale(last)[0]
    for line in told.values():
        assert line.in_stock == in_stock[shop.oracle.item_ids.index(line.item_id)]
    assert {event.item_id for event in shop.events} - {None} <= told.keys()


def test_lines_agree_with_the_events(shop):
    items = {line.item_id: line for line in shop.items}
    for event in shop.events[:2000]:
        if event.item_id is not None:
            line = items[event.item_id]
            assert (line.price, line.category) == (event.price, event.category)
            assert line.brand in line.title
            assert line.category in line.title


def test_a_line_is_plain_json(shop):
    found = msgspec.json.decode(msgspec.json.encode(shop.items[0]))
    assert len(found["vector"]) == 32
    assert found.keys() == {
        *("item_id", "title", "description", "category", "brand", "price", "in_stock", "vector", "ts", "added_at")
    }


def explained(styles, columns):
    """Return how much of the variance of the styles a linear view of some columns explains on other items."""
    half = len(columns) // 2
    columns = np.concatenate((columns, np.ones((len(columns), 1))), axis=1)
    weights = np.linalg.lstsq(columns[:half], styles[:half], rcond=None)[0]
    rest = styles[half:] - columns[half:] @ weights
    return 1 - (rest**2).sum() / ((styles[half:] - styles[:half].mean(axis=0)) ** 2).sum()


def test_each_modality_shows_as_much_of_the_style_as_it_is_meant_to(styles):
    brands = np.eye(styles.brands.max() + 1)[styles.brands]
    words = np.stack([np.bincount(row, minlength=len(WORDS)) for row in styles.words])
    assert explained(styles.styles, brands) == pytest.approx(BRAND_SHARE, abs=0.1)
    assert 0.4 < explained(styles.styles, words) < 0.7
    assert 0.6 < explained(styles.styles, styles.vectors) < 0.75
    assert explained(styles.styles, np.concatenate((brands, words, styles.vectors), axis=1)) > 0.75


def test_the_shop_is_the_same_for_all_seeds(styles):
    again = Styles.drawn(Catalogue.drawn(4000))
    assert (again.vectors == styles.vectors).all()
    assert (again.words == styles.words).all()
