"""The documents' programs do what they say: the quickstart is followed, Python, Java and SQL run against its shop."""

import re
import shutil
import sys

import pytest

from cartcast.local.kafka_jars import kafka_jars
from cartcast.local.maven import default_cache
from tests.docs import walks
from tests.docs.fences import Block, blocks
from tests.docs.shop import Shop, accepted_events

pytestmark = pytest.mark.integration

NUMBER = re.compile(r"\d+\.\d+")
TABLES = re.compile(r"\b(?:FROM|JOIN)\s+cartcast\.", re.IGNORECASE)


WALKED = list(walks.steps(walks.TRAINING))
"""Blocks that need those before them."""


def programs(*languages: str) -> list[Block]:
    return [block for block in blocks(*languages) if not block.reason and block not in WALKED]


def test_the_quickstart_ends_with_what_it_shows(shop: Shop, quickstart: list[Block]) -> None:
    assert "ok    kafka" in shop.run("cartcast", "doctor")
    assert "propensity" in shop.run("cartcast", "explain", "shopper-000322").lower()
    shown = [block for block in quickstart if block.language == "console"]
    assert len(shown) == 2
    for block in shown:
        command, _, promised = block.text.removeprefix("$ ").partition("\n")
        assert_alike(shop.run_script(command), promised)


def assert_alike(printed: str, promised: str) -> None:
    """Words and whole numbers are the same; decimals nearly: processors differ in the last places."""
    assert NUMBER.sub("#", printed.strip()) == NUMBER.sub("#", promised.strip())
    said, meant = ([float(number) for number in NUMBER.findall(text)] for text in (printed, promised))
    assert said == pytest.approx(meant, abs=0.002)


def test_who_trains_comes_from_nothing_to_a_checkpoint_and_its_scores(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Shop(shop.stack, tmp_path_factory.mktemp("training"), shop.web_port)
    printed = ""
    for block in WALKED:
        script = walks.made_small(block.text)
        printed += folder.run(sys.executable, "-c", script) if block.language == "python" else folder.run_script(script)
    assert "a linear model on the same numbers" in printed
    assert (folder.directory / "report" / "report.html").stat().st_size > 0
    assert re.search(r"^shopper-\d+ +0\.\d+ +0\.\d+$", printed, re.MULTILINE)


def test_who_uses_the_scores_sees_them_arrive_and_finds_the_program(shop: Shop) -> None:
    tail, offers = walks.steps(walks.CONSUMING)
    lines = shop.run_script(tail.text).splitlines()
    assert len(lines) == 3
    assert all("24h" in line for line in lines)
    assert offers.text == "python offers.py\n"  # the program itself has a test below


@pytest.mark.parametrize("block", programs("python"), ids=lambda block: block.where)
def test_a_python_program_runs(shop: Shop, block: Block) -> None:
    shop.run(sys.executable, "-W", "error", "-c", shop.translated(block.text))


def test_the_python_consumer_acts_once_on_each_score_that_it_means(shop: Shop) -> None:
    (consumer,) = (block for block in programs("python") if "offer help" in block.text)
    printed = shop.run(sys.executable, "-c", shop.translated(consumer.text).replace('"offers"', '"once more"'))
    meant = shop.query(
        "SELECT count() FROM scores WHERE event_type = 'cart' AND propensity_session < 0.3 AND user_id != 'u1'"
    )
    assert [(len([line for line in printed.splitlines() if " u1 " not in line]),)] == meant


@pytest.mark.parametrize("block", programs("java"), ids=lambda block: block.where)
def test_a_java_program_runs(shop: Shop, block: Block) -> None:
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:
        pytest.skip("there is no JDK here to compile Java with")
    name = re.findall(r"public class (\w+)", block.text)[0]
    (shop.directory / f"{name}.java").write_text(block.text)
    jars = ":".join(map(str, kafka_jars(default_cache(), print)))
    printed = shop.run(java, "-cp", jars, f"{name}.java", shop.stack.bootstrap_servers, "docs.scores")
    scores = int(re.findall(r"^(\d+) scores$", printed, re.MULTILINE)[0])
    assert scores >= accepted_events(shop.directory / "shop.jsonl")
    assert re.search(r"^shopper-\d+ \d+\.\d\d$", printed, re.MULTILINE)


@pytest.mark.parametrize("block", programs("sql"), ids=lambda block: block.where)
def test_a_query_runs(shop: Shop, block: Block) -> None:
    for statement in statements(block.text):
        shop.query(TABLES.sub(lambda found: found[0].replace("cartcast.", ""), statement))


def test_statements_that_are_not_run_are_sql(shop: Shop) -> None:
    for block in blocks("sql"):
        for statement in statements(block.text) if block.reason else ():
            assert shop.query(f"SELECT formatQuery($sql${statement}$sql$)"), block.where


def statements(text: str) -> list[str]:
    """The statements of a block, without comments."""
    return [statement for each in re.sub(r"--.*", "", text).split(";") if (statement := each.strip())]


def test_what_goes_on_ends_with_0_when_it_is_stopped(shop: Shop) -> None:
    assert set(shop.stop().values()) == {0}
