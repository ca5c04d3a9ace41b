"""The pages in Streamlit's own test harness: over an empty and a filled database, with what a URL may ask."""

from collections.abc import Callable

import filled_shop
import pytest
from conftest import NASTY_NAMES, client_of, new_database
from streamlit.testing.v1 import AppTest

from dashboard import told
from dashboard.settings import DashboardSettings, Source, Told

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),  # Streamlit's own
]
PAGES = ["overview", "shoppers", "model", "pipeline"]
Open = Callable[..., AppTest]


@pytest.fixture
def open_page() -> Open:
    """Run a page over a database, as if its URL had these parameters."""

    def run(name: str, source: Source, **query: str) -> AppTest:
        told.tell(Told(source, DashboardSettings(worker_url="http://127.0.0.1:9")))
        page = AppTest.from_string(
            f"from dashboard.app import framed\nfrom dashboard.pages import {name}\nframed({name}.page)",
            default_timeout=60,
        )
        page.query_params.update(query)
        page.run()
        assert not page.exception
        return page

    return run


def texts(page: AppTest) -> str:
    parts = [
        *page.title,
        *page.subheader,
        *page.markdown,
        *page.info,
        *page.error,
        *page.caption,
        *page.text,
        *page.code,
    ]
    return "\n".join(part.value for part in parts)


def numbers(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_database_says_how_events_come_in(open_page, empty, name):
    page = open_page(name, empty)
    assert "No event is scored and stored yet" in texts(page)
    assert "cartcast worker" in texts(page)


@pytest.mark.parametrize("name", PAGES)
def test_a_database_without_views_says_how_to_make_them(open_page, clickhouse, name):
    page = open_page(name, Source(clickhouse, "nowhere"))
    assert "cartcast migrate" in texts(page)


@pytest.mark.parametrize("name", PAGES)
def test_a_database_that_is_away_is_told_calmly(open_page, name):
    page = open_page(name, Source("http://127.0.0.1:9", "cartcast"))
    assert "Waiting for ClickHouse" in texts(page)
    assert not page.error


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("chosen", ["1 hour", "Everything"])
def test_a_filled_database_fills_every_page(open_page, shop, name, chosen):
    page = open_page(name, shop.source, range=chosen)
    assert numbers(page)
    assert page.title[0].value == name.capitalize()


def test_numbers_of_the_overview_are_those_of_the_rows(open_page, shop):
    shown = numbers(open_page("overview", shop.source, range="Everything"))
    buyers = {row["user_id"] for row in shop.rows if row["event_type"] == "purchase"}
    assert shown["Events"] == f"{len(shop.rows):,}"
    assert shown["Shoppers"] == f"{len({row['user_id'] for row in shop.rows}):,}"
    assert shown["Purchases"] == f"{sum(row['event_type'] == 'purchase' for row in shop.rows):,}"
    assert shown["Buyers"] == f"{len(buyers):,}"


@pytest.mark.parametrize("name", PAGES)
def test_a_time_without_data_says_so_and_offers_one_with(open_page, shop, name):
    query = {"range": "Custom", "from": "2031-01-01T00:00", "until": "2031-01-02T00:00"}
    page = open_page(name, shop.source, **query)
    assert "No " in texts(page)
    if name in ("overview", "shoppers"):
        page.button[0].click().run()
        assert not page.exception
        assert numbers(page)


GARBAGE = [
    {"range": "banana", "horizon": "<script>", "junk": "1", "channel": "none", "segment": "highest", "rows": "-5"},
    {"range": "Custom", "from": "yesterday", "until": "'; DROP TABLE scores", "sort": "user_id; DROP", "model": "none"},
    {
        "range": "Custom",
        "from": "2026-02-01T00:00",
        "until": "2026-01-01T00:00",
        "user": "\x00",
        "category": "*" * 3000,
    },
]


@pytest.mark.parametrize("query", GARBAGE, ids=["words", "dates", "order"])
@pytest.mark.parametrize("name", PAGES)
def test_garbage_in_the_address_falls_back(open_page, shop, name, query):
    page = open_page(name, shop.source, **query)
    assert page.title[0].value == name.capitalize()


def test_what_the_address_asked_in_vain_is_said(open_page, shop):
    (toast,) = open_page("overview", shop.source, range="banana", junk="1", horizon="1h").toast
    assert "junk" in toast.value
    assert "range" in toast.value
    assert "horizon" not in toast.value


def test_an_address_that_makes_sense_is_taken_without_a_word(open_page, shop):
    page = open_page("shoppers", shop.source, range="7 days", horizon="1h", segment="high", channel="mail", q="shopper")
    assert not page.toast
    assert numbers(page)["Segment low"] == "0" or int(numbers(page)["Shoppers"]) > 0


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_a_shopper_of_any_name_is_shown_as_plain_text(open_page, shop, name):
    page = open_page("shoppers", shop.source, user=name, range="Everything")
    assert name in [text.value for text in page.text]
    assert numbers(page)["Segment"] == "high"


def test_names_stand_in_no_markdown_unless_escaped(open_page, shop):
    for name in PAGES:
        page = open_page(name, shop.source, range="1 hour", user=NASTY_NAMES[1])
        for part in [*page.markdown, *page.caption, *page.info]:
            assert "<img" not in part.value
            assert "<script" not in part.value
            assert "](" not in part.value


@pytest.fixture
def lonely(clickhouse):
    """One shopper with one event, scored by a model that has one horizon only."""
    source = new_database(clickhouse)
    (row,) = filled_shop.plain_scores(1)
    row = {name: value for name, value in row.items() if name not in ("propensity_session", "propensity_24h", "price")}
    filled_shop.insert(client_of(source), "scores", [row])
    yield source
    client_of(source).command(f"DROP DATABASE {source.database}")


@pytest.mark.parametrize("horizon", ["1h", "24h"])
@pytest.mark.parametrize("name", PAGES)
def test_one_event_of_one_shopper_and_a_model_without_a_horizon_are_enough(open_page, lonely, name, horizon):
    page = open_page(name, lonely, horizon=horizon, user="shopper-0")
    assert page.title[0].value == name.capitalize()
    assert "nan" not in texts(page)
    assert "nan" not in numbers(page).values()


def test_a_shopper_that_does_not_exist_is_said_to(open_page, shop):
    assert "No such shopper" in texts(open_page("shoppers", shop.source, user="<nobody>"))


def test_a_part_of_a_categorys_name_shows_what_contains_it(open_page, shop):
    page = open_page("shoppers", shop.source, category="boo", range="Everything")
    assert any("boots" in text.value for text in page.text)


def test_filters_that_nobody_passes_can_be_cleared(open_page, shop):
    page = open_page("shoppers", shop.source, q="nobody-of-this-name")
    assert "No shopper passes these filters" in texts(page)
    page.button[0].click().run()
    assert int(numbers(page)["Shoppers"].replace(",", "")) > 0


def test_without_a_worker_the_timeline_says_how_to_get_explanations(open_page, shop):
    assert "start cartcast worker" in texts(open_page("shoppers", shop.source, user=shop.rows[0]["user_id"])).replace(
        "\\", ""
    )
