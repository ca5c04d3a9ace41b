"""The pages in a real browser: what a reader sees, on a desk and on a phone, while things change."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.migrate import migrate
from tests.dashboard import filled_shop
from tests.dashboard.databases import NASTY_NAMES, Shop, answers, client_of
from tests.dashboard.item_worker import item_worker
from tests.harness.ports import new_port
from tests.harness.waiting import DEADLINE_SECONDS, eventually

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PATHS = {
    "Overview": "",
    "Conversion": "conversion",
    "Shoppers": "shoppers",
    "Items": "items",
    "Model": "model",
    "Pipeline": "pipeline",
}
GREY = """new Promise(done => {
    let least = 1
    const refreshed = Date.now() + 4000
    const look = () => {
        for (const part of document.querySelectorAll('[data-testid=stMain] [data-stale=true]'))
            least = Math.min(least, getComputedStyle(part).opacity)
        Date.now() < refreshed ? requestAnimationFrame(look) : done(least)
    }
    look()
})"""
"""How pale the palest part becomes while it is made anew."""
WAIT_MS = 1000 * DEADLINE_SECONDS
expect.set_options(timeout=WAIT_MS)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: on Debian, apt-get install chromium"),
]


@contextmanager
def serving(source: ClickHouseSettings, log: Path, worker_url: str = "http://127.0.0.1:9") -> Iterator[str]:
    """Run `cartcast dashboard` and yield its address; it must end well when asked to."""
    port = new_port()
    options = ["--port", str(port), "--url", source.url, "--database", source.database]
    settings = {"CARTCAST_DASHBOARD__REFRESH_SECONDS": "1", "CARTCAST_DASHBOARD__WORKER_URL": worker_url}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "cartcast", "dashboard", *options], stderr=stderr, env={**os.environ, **settings}
        )
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/_stcore/health"), "the pages", found=log.read_text)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield running
        running.close()


@pytest.fixture(scope="module")
def out_of_stock(shop: Shop) -> list[str]:
    """Return some items that cannot be ordered."""
    return sorted({row["item_id"] for row in shop.rows if row["event_type"] == "cart"} - {""})[:30]


@pytest.fixture(scope="module")
def address(shop: Shop, out_of_stock: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    stock = dict.fromkeys(out_of_stock, False)
    with (
        item_worker(stock) as worker,
        serving(shop.source, tmp_path_factory.mktemp("dashboard") / "log", worker.url) as url,
    ):
        yield url


class Tabs:
    """One tab for each size and scheme; tests take turns with them, because a new one loads all scripts again."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._pages: dict[tuple[int, str], Page] = {}
        self.elsewhere: list[str] = []

    def open(self, url: str, *, size: dict[str, int] = DESK, scheme: str = "light") -> Page:
        """Open an address and wait until Streamlit is done."""
        page = self._pages.get((size["width"], scheme)) or self._new(size, scheme)
        page.goto("about:blank")
        page.goto(url)
        page.locator("[data-testid=stMain] h1").first.wait_for()
        idle(page)
        return page

    def _new(self, size: dict[str, int], scheme: str) -> Page:
        page = self._browser.new_context(viewport=size, color_scheme=scheme, accept_downloads=True).new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda asked: self.elsewhere.append(asked.url) if is_elsewhere(asked.url) else None)
        self._pages[size["width"], scheme] = page
        return page


@pytest.fixture(scope="module")
def tabs(browser: Browser) -> Tabs:
    return Tabs(browser)


@pytest.fixture
def open_page(tabs: Tabs) -> Iterator[Callable[..., Page]]:
    """Open an address; nothing may be loaded from elsewhere."""
    yield tabs.open
    assert tabs.elsewhere == []


def is_elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1", "data:", "blob:"))


def idle(page: Page) -> None:
    """Wait until the script has run to its end."""
    expect(page.get_by_test_id("stApp").first).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def number(page: Page, label: str) -> int:
    metric = page.get_by_test_id("stMetric").filter(has_text=re.compile(rf"^{label}")).first
    return int(metric.get_by_test_id("stMetricValue").inner_text().replace(",", ""))


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def test_every_page_opens_whole(open_page, address, size, scheme):
    for title, path in PATHS.items():
        page = open_page(f"{address}{path}?range=7+days&user={NASTY_NAMES[-1]}", size=size, scheme=scheme)
        assert page.locator("h1").first.inner_text() == title
        expect(page.get_by_test_id("stMetric").first).to_be_visible()
        expect(page.get_by_test_id("stException")).to_have_count(0)
        expect(page.locator("[data-testid=stAlertContentError]")).to_have_count(0)
        widths = page.evaluate(
            "[document.documentElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth]"
        )
        assert max(widths) <= size["width"]


def test_numbers_on_the_pages_are_those_of_the_table(open_page, address, shop):
    def count(what: str) -> int:
        events = "scores FINAL WHERE event_type != 'impression'"
        return int(shop.client.command(f"SELECT {what} FROM {events}"))  # noqa: S608 - our own words

    page = open_page(f"{address}?range=Everything")
    assert number(page, "Events") == count("count()")
    assert number(page, "Shoppers") == count("uniqExact(user_id)")
    assert number(page, "Purchases") == count("countIf(event_type = 'purchase')")
    assert number(page, "Buyers") == count("uniqExactIf(user_id, event_type = 'purchase')")
    page = open_page(f"{address}shoppers?range=Everything")
    assert number(page, "Shoppers") == count("uniqExact(user_id)")
    page = open_page(f"{address}pipeline")
    assert number(page, "Dead letters") == 60


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_items_that_are_wanted_in_vain_are_shown(open_page, address, size):
    page = open_page(f"{address}items?range=Everything", size=size)
    heading = page.get_by_text(re.compile("wanted items? (is|are) out of stock"))
    heading.scroll_into_view_if_needed()
    expect(heading).to_be_visible()
    listed = page.get_by_test_id("stDataFrame").last
    listed.scroll_into_view_if_needed()
    expect(listed).to_be_visible()
    box = listed.bounding_box()
    assert box is not None
    assert 0 < box["x"] + box["width"] <= size["width"]


def test_the_live_counter_moves_by_itself(open_page, address, shop):
    page = open_page(f"{address}?range=Everything")
    before = number(page, "Events")
    more = [{**shop.rows[0], "event_id": f"live-{n}", "source_offset": 2_000_000 + n} for n in range(7)]
    shop.rows.extend(more)
    filled_shop.insert(shop.client, "scores", more)
    metric = page.get_by_test_id("stMetric").filter(has_text=re.compile("^Events")).first
    expect(metric.get_by_test_id("stMetricValue")).to_have_text(f"{before + 7:,}")


def test_choices_go_to_the_address_and_on_to_the_next_page(open_page, address):
    page = open_page(address)
    page.get_by_test_id("stSelectbox").filter(has_text="Time range").locator("input").click()
    page.get_by_role("option", name="7 days", exact=True).click()
    page.wait_for_url("**range=7*days**")
    page.get_by_role("button", name="1h", exact=True).or_(page.get_by_role("radio", name="1h")).first.click()
    page.wait_for_url("**horizon=1h**")
    idle(page)
    page.get_by_role("link", name="Model").click()
    page.wait_for_url("**/model**range=7*days**")
    expect(page.locator("h1").first).to_have_text("Model")


def test_a_custom_range_is_read_whole(open_page, address):
    page = open_page(f"{address}?range=Custom&from=2026-11-27T00:00&until=2026-11-28T00:00")
    for label in ("From (UTC)", "Until (UTC)"):
        box = page.get_by_test_id("stDateTimeInput").filter(has_text=label).locator("input").first
        expect(box).to_be_visible()
        assert box.evaluate("it => it.scrollWidth <= it.clientWidth")
    assert "27 Nov 2026, 00:00 to 28 Nov 2026, 00:00" in page.locator("[data-testid=stMain]").inner_text()


def test_a_chosen_row_opens_the_shoppers_timeline(open_page, address, shop):
    page = open_page(f"{address}shoppers?range=Everything&q=shopper-0000&rows=100")
    grid = page.get_by_test_id("stDataFrame").first
    box = grid.bounding_box()
    page.mouse.click(box["x"] + 15, box["y"] + 52)
    page.wait_for_url("**user=shopper-*")
    idle(page)
    expect(page.get_by_text("the probability of a purchase")).to_be_visible()
    user = re.search(r"user=(shopper-\d+)", page.url)[1]
    events = sum(row["user_id"] == user for row in shop.rows)
    assert number(page, "Events") == events


@pytest.mark.parametrize("name", NASTY_NAMES[1:5], ids=["html", "script", "link", "markdown"])
def test_a_name_is_shown_as_it_is_and_does_nothing(open_page, address, name):
    page = open_page(f"{address}shoppers?range=Everything&user={quoted(name)}")
    expect(page.get_by_test_id("stText").get_by_text(name, exact=True)).to_be_visible()
    assert page.title() in ("Shoppers", "Cartcast")
    assert page.locator("[data-testid=stMain] img, [data-testid=stMain] a[href*=evil]").count() == 0
    assert page.locator("[href^='javascript:']").count() == 0


def test_names_do_nothing_on_pages_that_sum_up(open_page, address):
    for path in ("", "shoppers"):
        page = open_page(f"{address}{path}?range=1+hour&category={quoted(NASTY_NAMES[1])}")
        assert page.title() in (*PATHS, "Cartcast")
        assert page.locator("[href^='javascript:'], [data-testid=stMain] a[href*=evil]").count() == 0


def quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def test_a_table_is_saved_as_csv_without_formulas(open_page, address):
    page = open_page(f"{address}shoppers?range=Everything&q={quoted('=HYPER')}")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").first.click()
    saved = Path(waiting.value.path()).read_text("utf-8-sig").splitlines()
    assert saved[0].startswith("user_id,propensity_24h,propensity_session,propensity_1h,value_at_stake")
    assert saved[1].startswith("'=HYPERLINK(1),")
    assert len(saved) == 2


def test_the_whole_list_is_saved_however_few_are_shown(open_page, address, shop):
    page = open_page(f"{address}shoppers?range=Everything&rows=25&sort=Events")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="as CSV").click()
    saved = list(csv.DictReader(StringIO(Path(waiting.value.path()).read_text("utf-8-sig"))))
    users = {row["user_id"] for row in shop.rows}
    assert {row["user_id"] for row in saved} == users - {"=HYPERLINK(1)"} | {"'=HYPERLINK(1)"}
    events = [int(row["events"]) for row in saved]
    assert events == sorted(events, reverse=True)
    assert sum(events) == len(shop.rows)


def test_a_refused_download_says_what_to_do(address):
    for query in ("", "?since=x&until=2&order=Events&horizon=1h", "?since=1&until=2&order=sleep(9)&horizon=1h"):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{address}download/shoppers.csv{query}")  # noqa: S310 - our own loopback address
        assert refused.value.code == 400
        assert b"take the link of the page Shoppers" in refused.value.read()


def test_a_button_in_a_part_that_updates_by_itself_keeps_its_clicks(open_page, address):
    page = open_page(f"{address}pipeline?range=Everything")
    for _ in range(12):
        with page.expect_download() as waiting:
            page.get_by_role("button", name="CSV").first.click()
        assert Path(waiting.value.path()).read_text("utf-8-sig").startswith("consumer_group,")
        page.wait_for_timeout(150)  # Chromium drops the eleventh download that a page begins within a second


def test_no_part_turns_grey_while_it_updates(open_page, address):
    page = open_page(address)
    assert page.evaluate(GREY) == 1


def test_a_page_waits_for_clickhouse_and_goes_on_by_itself(open_page, tmp_path):
    """From nothing to a filled page, without a reload: server away, not migrated, empty, filled, away again, back."""
    port = new_port()
    source = ClickHouseSettings(url=f"http://127.0.0.1:{port}", database="late")
    with serving(source, tmp_path / "log") as url:
        page = open_page(url)
        expect(page.get_by_text("Waiting for ClickHouse")).to_be_visible()
        with engine(tmp_path / "clickhouse", port, tmp_path / "engine.log"):
            expect(page.get_by_text("cartcast migrate")).to_be_visible()
            migrate(ClickHouseSettings(url=source.url, database=source.database))
            expect(page.get_by_text("No event is scored and stored yet")).to_be_visible()
            filled_shop.insert(client_of(source), "scores", filled_shop.plain_scores())
            metric = page.get_by_test_id("stMetricValue").first
            expect(metric).to_be_visible()
        expect(page.get_by_text("does not answer").first).to_be_visible()
        with engine(tmp_path / "clickhouse", port, tmp_path / "engine.log"):
            expect(page.get_by_test_id("stMetricValue").first).to_be_visible()
            expect(page.get_by_text("does not answer")).to_have_count(0)


@contextmanager
def engine(directory: Path, port: int, log: Path) -> Iterator[None]:
    """Run the ClickHouse engine alone."""
    directory.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "cartcast.local.clickhouse_server", "--path", str(directory), "--port", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/ping"), "the engine", found=log.read_text)
        yield
    finally:
        process.terminate()
        process.wait()
