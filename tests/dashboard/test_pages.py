"""The pages in Streamlit's own test harness: over an empty and a filled database, with what a URL may ask."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import config, remembered
from dashboard.formatting import moment
from dashboard.settings import Config, DashboardSettings
from service.clickhouse_settings import ClickHouseSettings
from service.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from tests.dashboard import filled_shop
from tests.dashboard.databases import NASTY_NAMES, client_of
from tests.dashboard.item_worker import item_worker
from tests.docs import walks
from tests.harness.waiting import DEADLINE_SECONDS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),  # Streamlit's own
]
PAGES = ["overview", "conversion", "shoppers", "items", "model", "pipeline"]
Open = Callable[..., AppTest]


@pytest.fixture
def open_page() -> Open:
    """Run a page over a database, as if its URL had these parameters."""

    def run(
        name: str,
        source: ClickHouseSettings,
        pseudonyms: Pseudonyms = NO_PSEUDONYMS,
        worker_url: str = "http://127.0.0.1:9",
        **query: str,
    ) -> AppTest:
        config.configure(Config(source, DashboardSettings(worker_url=worker_url), pseudonyms))
        page = AppTest.from_string(
            f"from dashboard.app import framed\nfrom dashboard.pages import {name}\nframed({name}.page)",
            default_timeout=DEADLINE_SECONDS,
        )
        page.query_params.update(query)
        page.run()
        assert not page.exception
        return page

    return run


@pytest.fixture
def database(database: ClickHouseSettings) -> ClickHouseSettings:
    """A database to be filled; what the dashboard remembers of earlier tests' rows in it is gone."""
    remembered._answers.clear()
    return database


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
    page = open_page(name, ClickHouseSettings(url=clickhouse, database="nowhere"))
    assert "cartcast migrate" in texts(page)


@pytest.mark.parametrize("name", PAGES)
def test_a_database_that_is_away_is_told_calmly(open_page, name):
    page = open_page(name, ClickHouseSettings(url="http://127.0.0.1:9", database="cartcast"))
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


def test_each_number_stands_beside_the_period_before_if_that_is_stored(open_page, database):
    """40 events in 40 minutes of an hour that is not over, 20 in those of the hour before, which had 5 later ones."""
    rows = list(filled_shop.plain_scores(120))
    filled_shop.insert(client_of(database), "scores", [*rows[:20], *rows[50:55], *rows[60:100]])
    page = open_page("overview", database, range="1 hour")
    assert {metric.label: metric.delta for metric in page.metric}["Events"] == "+100.0 %"
    assert "Changes: to 5 Jan 2026, 00:00 to 5 Jan 2026, 00:39 UTC" in texts(page)
    shoppers = open_page("shoppers", database, range="1 hour")
    assert {metric.label: metric.delta for metric in shoppers.metric}["Shoppers"] == "+0.0 %"
    for name in ("overview", "shoppers"):
        page = open_page(name, database, range="6 hours")
        assert {metric.delta for metric in page.metric} == {""}
        assert "No changes: not all of" in texts(page)


def test_what_is_reached_now_is_beside_what_was_reached_then(open_page, database):
    """Ten shoppers an hour ago, twenty now, of whom five had come before."""
    rows = list(filled_shop.plain_scores(500))
    earlier = [row | {"user_id": f"early-{number}"} for number, row in enumerate(rows[:10])]
    later = [
        row | {"user_id": f"{'early' if number < 5 else 'late'}-{number}"} for number, row in enumerate(rows[60:80])
    ]
    filled_shop.insert(client_of(database), "scores", [*earlier, *later])
    page = open_page("shoppers", database, range="1 hour")
    changed = {metric.label: metric.delta for metric in page.metric}
    assert (changed["Shoppers"], changed["Segment medium"]) == ("+100.0 %", "+100.0 %")
    query = {"range": "Custom", "from": "2026-01-05T00:00", "until": "2026-01-05T01:00"}
    assert "who has come again after this range" in texts(open_page("shoppers", database, **query))


def test_rows_of_a_range_are_beside_those_of_the_time_before(open_page, database):
    """An hour in which 40 rows were scored after one of 20; the hour before the first is not stored."""
    rows = [
        row | {"scored_at": 1_767_571_200_000 + (number + 40 * (number >= 20)) * 60_000}
        for number, row in enumerate(filled_shop.plain_scores(60))
    ]
    filled_shop.insert(client_of(database), "scores", rows)
    assert "40 rows (+100.0 % to the time before)" in texts(open_page("pipeline", database, range="1 hour"))
    assert "60 rows, at most" in texts(open_page("pipeline", database, range="6 hours"))


def test_a_custom_range_ends_when_it_says(open_page, shop):
    query = {"range": "Custom", "from": "2031-01-01T00:00", "until": "2031-01-02T00:00"}
    page = open_page("overview", shop.source, **query)
    assert "from 1 Jan 2031, 00:00 to 2 Jan 2031, 00:00 UTC" in texts(page)
    page = open_page("overview", shop.source, **query | {"until": "2031-01-02T00:01"})
    assert "from 1 Jan 2031, 00:00 to 2 Jan 2031, 01:00 UTC" in texts(page)


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


def test_the_addresses_of_the_walk_show_what_it_says(open_page, shop):
    """Each row of the table in docs/dashboard.md: an address, and in bold the words to look for on it."""
    rows = re.findall(r"^\| .+? \| `/(\w*)\?([^`]+)` \| (.+) \|$", walks.section(walks.DASHBOARD), re.MULTILINE)
    assert [name for name, _, _ in rows] == ["", "conversion", "shoppers", "items", "model"]
    for name, query, words in rows:
        page = open_page(name or "overview", shop.source, **dict(parse_qsl(query)))
        assert not page.toast
        shown = "\n".join([texts(page), *numbers(page)])
        for looked_for in re.findall(r"\*\*(.+?)\*\*", words):
            assert looked_for in shown, (name, looked_for)


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


@pytest.fixture(scope="module")
def lonely(databases):
    """One shopper with one event, scored by a model that has one horizon only."""
    (row,) = filled_shop.plain_scores(1)
    row = {name: value for name, value in row.items() if name not in ("propensity_session", "propensity_24h", "price")}
    with databases.lend() as source:
        filled_shop.insert(client_of(source), "scores", [row])
        yield source


@pytest.mark.parametrize("horizon", ["1h", "24h"])
@pytest.mark.parametrize("name", PAGES)
def test_one_event_of_one_shopper_and_a_model_without_a_horizon_are_enough(open_page, lonely, name, horizon):
    page = open_page(name, lonely, horizon=horizon, user="shopper-0")
    assert page.title[0].value == name.capitalize()
    assert "nan" not in texts(page)
    assert "nan" not in numbers(page).values()


def test_a_wrong_clock_moves_no_range_and_is_counted(open_page, database):
    rows = list(filled_shop.plain_scores(20))
    rows.append({**rows[0], "event_time": 4_080_000_000_000, "event_id": "of 2099", "source_offset": 20})
    filled_shop.insert(client_of(database), "scores", rows)
    page = open_page("overview", database, range="24 hours")
    assert numbers(page)["Events"] == "20"
    assert "Left out: 1 event from clocks that are ahead" in texts(page)


def test_buyers_who_viewed_nothing_do_not_count_as_conversions(open_page, database):
    """Seven shoppers viewed, seven others carted, six others bought; one of the viewers buys as well."""
    rows = [{**row, "user_id": row["event_type"] + row["user_id"]} for row in filled_shop.plain_scores(20)]
    rows.append({**rows[0], "event_type": "purchase", "event_id": "bought", "source_offset": 20})
    filled_shop.insert(client_of(database), "scores", rows)
    page = open_page("overview", database)
    assert numbers(page)["Buyers"] == "7"
    assert numbers(page)["Conversion"] == "14.3 %"
    page = open_page("conversion", database)
    assert (numbers(page)["Viewed"], numbers(page)["Bought"], numbers(page)["Conversion"]) == ("7", "0", "0.0 %")


@pytest.mark.parametrize("name", ["  lead", "trail ", "y" * 700, "z" * 1024])
def test_an_id_is_taken_letter_by_letter(open_page, database, name):
    rows = list(filled_shop.plain_scores(3))
    users = (name, name, name.strip()[:500])
    filled_shop.insert(
        client_of(database), "scores", [{**row, "user_id": user} for row, user in zip(rows, users, strict=True)]
    )
    page = open_page("shoppers", database, user=name)
    assert name.strip() in [text.value for text in page.text]
    assert numbers(page)["Events"] == "2"


def test_the_shops_id_finds_whom_the_database_knows_by_a_pseudonym(open_page, database):
    pseudonyms, (row,) = Pseudonyms("sixteen or more characters"), filled_shop.plain_scores(1)
    filled_shop.insert(client_of(database), "scores", [{**row, "user_id": pseudonyms.of("u1")}])
    for asked in ("u1", pseudonyms.of("u1")):
        page = open_page("shoppers", database, pseudonyms, user=asked)
        assert [text.value for text in page.text] == [pseudonyms.of("u1")]


def test_an_id_that_is_too_long_shows_nobody(open_page, database):
    (row,) = filled_shop.plain_scores(1)
    filled_shop.insert(client_of(database), "scores", [{**row, "user_id": "z" * 1024}])
    page = open_page("shoppers", database, user="z" * 1025)
    assert "an id has at most 1,024 characters" in texts(page)
    assert not page.text


def test_dead_letters_alone_are_counted(open_page, database):
    filled_shop.insert(client_of(database), "dead_letters", filled_shop.dead_letters([]))
    page = open_page("pipeline", database)
    assert numbers(page)["Dead letters"] == "60"
    assert "No row is stored yet" in texts(page)


def test_a_lag_that_nobody_samples_any_more_says_since_when(open_page, database):
    (*_, sample) = filled_shop.lags()
    client, now = client_of(database), datetime.now(UTC)
    for at, said in ((now - timedelta(minutes=10), "no sample of the lag since"), (now, "lag sampled at")):
        filled_shop.insert(client, "consumer_lag", [{**sample, "at": f"{at.timestamp():.3f}"}])
        assert f"{said} {moment(at)}" in texts(open_page("pipeline", database, range="Everything"))
        remembered._answers.clear()


def test_what_is_not_known_is_not_said(open_page, database, lonely):
    assert "No propensity within 24 hours is known" in texts(open_page("overview", lonely))
    rows = [{**row, "event_type": "view", "propensity_24h": 0.1} for row in filled_shop.plain_scores(3000)]
    client = client_of(database)
    filled_shop.insert(client, "scores", rows)
    assert "Nobody is in segment high" in texts(open_page("overview", database))
    model_page = texts(open_page("model", database))
    assert "Not known which version ranks best" in model_page
    assert "Too few scores in every hour to tell drift from chance" in model_page


def test_a_segment_is_called_by_its_name(open_page, shop):
    high = sum(row["propensity_24h"] >= 0.3 for row in {row["user_id"]: row for row in shop.rows}.values())
    assert f"Segment high has {high} shoppers" in texts(open_page("overview", shop.source, range="Everything"))


@pytest.mark.parametrize("query", [{"range": "6 hours"}, {"range": "7 days", "channel": "mail"}])
def test_overview_and_shoppers_agree_about_segments(open_page, shop, query):
    listed = numbers(open_page("shoppers", shop.source, **query))["Segment high"]
    assert f"Segment high has {listed} shoppers" in texts(open_page("overview", shop.source, **query))


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


def test_the_events_of_a_shopper_name_what_was_recommended_at_them(open_page, shop):
    user = next(row["user_id"] for row in shop.rows if row["event_type"] == "cart")
    page = open_page("shoppers", shop.source, user=user)
    listed = [frame.value["recommended"].tolist() for frame in page.dataframe if "recommended" in frame.value]
    assert set(listed[0]) == {"two, k", ""}


def test_the_page_of_items_shows_those_with_most_viewers(open_page, shop):
    page = open_page("items", shop.source, range="Everything")
    shown = page.dataframe[0].value
    viewers = [len({row["user_id"] for row in shop.rows if row["item_id"] == item and row["event_type"] == "view"})
               for item in shown["item_id"]]  # fmt: skip
    assert list(shown["viewers"]) == viewers
    assert "of which not all is stored" in texts(page)
    assert "All shoppers are counted" in texts(page)


def test_wanted_items_that_are_out_of_stock_are_listed_by_their_viewers(open_page, shop):
    viewers = Counter(item for item, _ in {(row["item_id"], row["user_id"]) for row in shop.rows
                                           if row["event_type"] == "view" and row["item_id"]})  # fmt: skip
    ranked = sorted(viewers, key=lambda item: -viewers[item])
    stock = {item: number % 3 != 1 for number, item in enumerate(ranked[:60])}
    with item_worker(stock | {"nobody-wants-it": False}) as worker:
        page = open_page("items", shop.source, worker_url=worker.url, range="Everything")
    shown = page.dataframe[-1].value
    assert len(shown) == 20
    assert set(shown["item_id"]) == {item for item, is_there in stock.items() if not is_there}
    assert list(shown["viewers"]) == sorted((viewers[item] for item in shown["item_id"]), reverse=True)
    assert list(shown["title"]) == [f"Title of {item}" for item in shown["item_id"]]
    assert "20 wanted items are out of stock" in texts(page)


@pytest.mark.parametrize(
    ("stock", "said"), [(True, "Nothing that is wanted is out of stock"), (None, "The catalogue says nothing of stock")]
)
def test_where_nothing_is_out_of_stock_the_page_says_so(open_page, shop, stock, said):
    with item_worker(dict.fromkeys({row["item_id"] for row in shop.rows}, stock)) as worker:
        assert said in texts(open_page("items", shop.source, worker_url=worker.url, range="Everything"))


def test_without_a_worker_the_page_of_items_says_who_knows_the_stock(open_page, shop):
    assert "start cartcast worker" in texts(open_page("items", shop.source)).replace("\\", "")


def test_a_worker_of_another_pipeline_says_nothing_of_the_stock(open_page, shop):
    with item_worker(dict.fromkeys({row["item_id"] for row in shop.rows}, False), topic="other.events") as worker:
        page = open_page("items", shop.source, worker_url=worker.url, range="Everything")
    assert "is another pipeline's: it scores other.events" in texts(page).replace("\\", "")


def test_a_shop_whose_events_name_no_item_is_told_so(open_page, database):
    filled_shop.insert(client_of(database), "scores", filled_shop.plain_scores(20))
    assert "which item they are about in `item_id`" in texts(open_page("items", database))


def test_the_page_of_the_model_says_what_came_of_lists(open_page, shop):
    page = open_page("model", shop.source)
    lists = next(table.value for table in page.dataframe if "ctr_words" in table.value)
    assert set(lists["shown_by"]) == {"popular", "lstm64-items"}
    assert "lstm64\\-items is clicked most" in texts(page)


def test_a_threshold_says_whom_it_reaches(open_page, shop):
    page = open_page("model", shop.source, range="Everything", threshold="0")
    everybody = {row["user_id"] for row in shop.rows}
    assert numbers(page)["Reach"] == f"{len(everybody):,}"
    assert numbers(page)["Purchases found"] == "100.0 %"
    high = int(numbers(open_page("shoppers", shop.source, range="Everything"))["Segment high"])
    page.slider[0].set_value(30).run()
    assert numbers(page)["Reach"] == str(high)


def test_inputs_pass_or_fail_beside_the_scores(open_page, database):
    rows = [{**row, "event_type": "view", "channel": "mail" if number < 1440 else "web"}
            for number, row in enumerate(filled_shop.plain_scores(2880))]  # fmt: skip
    filled_shop.insert(client_of(database), "scores", [{**row, "model": "one"} for row in rows])
    page = open_page("model", database, range="24 hours")
    table = next(frame.value for frame in page.dataframe if "verdict" in frame.value)
    verdicts = dict(zip(table["field"], table["verdict"], strict=True))
    assert verdicts["channel"] == "✗ fail"
    assert verdicts["price"] == verdicts["hour of the day"] == "✓ pass"
    assert "1 input far from the reference: channel" in texts(page)


def test_a_shop_without_impressions_is_told_how_to_send_them(open_page, database):
    filled_shop.insert(client_of(database), "scores", filled_shop.plain_scores(20))
    assert "Send what a page shows as events of type impression" in texts(open_page("model", database))


def test_the_lag_stands_beside_that_of_the_minute_before(open_page, shop):
    (behind,) = (metric for metric in open_page("pipeline", shop.source).metric if metric.label == "Behind")
    assert (behind.value, behind.delta) == ("52", "+8.3 %")
