"""Takes the pictures of the dashboard in docs/images: `make screenshots`, some two minutes.

Runs `cartcast demo`, gives the simulated shop a minute, opens the pages in Chromium and saves what they show.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

IMAGES = Path(__file__).parent.parent / "docs" / "images"
COLORS = 256
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SHOP_SECONDS = 60
WAIT_MS = 60_000
DEMO_SECONDS = 120


def main() -> None:
    """Take every picture."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with demo() as address, sync_playwright() as playwright:
        time.sleep(SHOP_SECONDS)
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu"])
        _picture(browser, f"{address}/", "overview", height=1000)
        _picture(browser, f"{address}/?range=6+hours", "overview-phone", size=PHONE, scheme="dark")
        _picture(browser, f"{address}/conversion?range=Everything&by=Channel", "conversion", height=1000)
        user = _picture(browser, f"{address}/shoppers?segment=high", "shoppers", height=760, chooses=True)
        _picture(browser, f"{address}/shoppers?user={user}", "timeline", height=1180, at="[class*=st-key-shopper-id]")
        _picture(browser, f"{address}/items?range=Everything", "items", height=1000)
        _picture(browser, f"{address}/model?horizon=1h", "model", height=1150)
        _picture(browser, f"{address}/pipeline", "pipeline", scheme="dark", height=1000)
        browser.close()


@contextmanager
def demo() -> Iterator[str]:
    """Run the demo and yield the dashboard's address."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([sys.executable, "-m", "cartcast", "demo"], stdout=log, stderr=log)
        try:
            yield _address(log)
        finally:
            process.terminate()
            process.wait(60)


def _address(log: Any) -> str:
    deadline = time.monotonic() + DEMO_SECONDS
    while time.monotonic() < deadline:
        log.seek(0)
        if found := re.search(r"open the dashboard: (http://\S+)", log.read()):
            return found[1]
        time.sleep(0.5)
    log.seek(0)
    raise SystemExit(f"screenshots: the demo did not start:\n{log.read()}")


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise SystemExit("screenshots: no Chromium; on Debian: apt-get install chromium")
    return found


def _picture(
    browser: Browser,
    url: str,
    name: str,
    *,
    size: dict[str, int] = DESK,
    scheme: str = "light",
    height: int | None = None,
    at: str | None = None,
    chooses: bool = False,
) -> str:
    """Save a picture of a page, `height` high, or of what follows `at`; returns the shopper that `chooses` chose."""
    context = browser.new_context(viewport={**size, "height": height or size["height"]}, color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    _settle(page)
    if at is not None:
        page.locator(at).first.evaluate("element => element.scrollIntoView({block: 'start'})")
        page.get_by_test_id("stMain").evaluate("main => main.scrollBy(0, -110)")
        _settle(page)
    _save(page.screenshot(), IMAGES / f"{name}.png")
    user = _choose(page) if chooses else ""
    context.close()
    return user


def _settle(page: Page) -> None:
    page.locator("[data-testid=stMain] h1").first.wait_for(timeout=WAIT_MS)
    page.locator("[data-testid=stMetricValue]").first.wait_for(timeout=WAIT_MS)
    expect(page.get_by_test_id("stApp").first).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=WAIT_MS
    )
    page.wait_for_timeout(3000)


def _choose(page: Page) -> str:
    """Click the first row of the ranking; returns its shopper."""
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 15, box["y"] + 52)
    page.wait_for_url("**user=*", timeout=WAIT_MS)
    found = re.search(r"user=([^&]+)", page.url)
    assert found is not None
    return found[1]


def _save(png: bytes, path: Path) -> None:
    """Save with few colours: a fifth of the size, and nobody sees it."""
    Image.open(BytesIO(png)).convert("RGB").quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    sys.stdout.write(f"{path.relative_to(IMAGES.parent.parent)}: {path.stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    main()
