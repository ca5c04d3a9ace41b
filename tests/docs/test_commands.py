"""Every command, option, setting, metric and alert that a document names exists; data that it shows are well-formed."""

import json
import re

import pytest
import yaml

from cartcast.settings import Settings
from tests.docs.fences import PAGES, ROOT, blocks, blocks_of, prose_of
from tests.docs.shell import UnknownError, check_command, check_mention, check_script, check_setting, check_variable

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
METRIC = re.compile(r"\bcartcast_(?:worker|sink|clickhouse|consumer|score|calibration)_[a-z_]+[a-z]\b")
BRANCHES = "|".join(Settings.model_fields)


def of_page(name: str, *languages: str):
    return [block for block in blocks(*languages) if block.page == name]


@pytest.mark.parametrize("name", NAMES)
def test_commands_of_a_page_exist_with_their_options(name):
    for block in of_page(name, "bash", "sh", "console"):
        script = block.text
        if block.language == "console":
            script = "\n".join(line[2:] for line in block.text.splitlines() if line.startswith("$ "))
        try:
            check_script(script)
        except UnknownError as failure:
            raise AssertionError(f"{block.where}: {failure}") from None
    for block in of_page(name, "", "text"):
        for line in block.text.splitlines():
            if line.startswith("cartcast "):
                check_script(line)
    for mention in re.findall(r"`(cartcast [a-z-][^`]*)`", prose_of(ROOT / name)):
        check_mention(" ".join(mention.split()))


@pytest.mark.parametrize("name", NAMES)
def test_settings_metrics_and_alerts_of_a_page_exist(name):
    text = (ROOT / name).read_text()
    for variable in set(re.findall(r"\bCARTCAST_[A-Z][A-Z_]*[A-Z]\b(?!_)", text)):
        if "__" in variable:
            check_variable(variable)
    for setting in set(re.findall(rf"`((?:{BRANCHES})\.[a-z_]+)`", text)):
        check_setting(setting)
    known = (ROOT / "docs/metrics.md").read_text() if (ROOT / "docs/metrics.md").exists() else ""
    for metric in set(METRIC.findall(text)) if known else ():
        assert re.sub(r"_(bucket|sum|count)$", "", metric) in known, f"{name}: docs/metrics.md does not know {metric}"


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    rules = "".join(path.read_text() for path in (ROOT / "deploy/prometheus/rules").rglob("*.y*ml"))
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    assert {path.stem for path in (ROOT / "docs/runbooks").glob("*.md")} - {"index"} == alerts


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block.where)
def test_json_is_json(block):
    try:
        json.loads(block.text)
    except ValueError:
        assert [json.loads(line) for line in block.text.splitlines()]


@pytest.mark.parametrize("block", blocks("yaml", "yml"), ids=lambda block: block.where)
def test_yaml_is_yaml_and_settings_in_it_exist(block):
    for content in yaml.safe_load_all(block.text):
        if isinstance(content, dict) and content.keys() <= Settings.model_fields.keys():
            for branch, fields in content.items():
                for field in fields or ():
                    check_setting(f"{branch}.{field}")


def test_every_block_names_a_language_that_is_looked_at_or_shows_no_code():
    looked_at = {"bash", "sh", "console", "python", "java", "sql", "json", "yaml", "yml", "promql", "text", ""}
    every = [block for page in PAGES for block in blocks_of(page)]
    assert {block.where: block.language for block in every if block.language not in looked_at} == {}


@pytest.mark.parametrize(
    "script",
    [
        "cartcast fly",
        "cartcast replay shop.jsonl --format cartcast --sped 3",
        "cartcast topics create --partitions many",
        "cd x && cartcast topic create",
        "make fly",
        "CARTCAST_KAFKA__BROKERS=a cartcast worker",
        "export CARTCAST_WORKR__DEVICE=cpu",
        "frobnicate --now",
        "x=$(cartcast fly)",
        "cartcast dead-letters replay 'x",
    ],
)
def test_a_command_that_would_fail_is_found(script):
    with pytest.raises(UnknownError):
        check_script(script)


@pytest.mark.parametrize("words", [["cartcast", "demo", "--fly"], ["cartcast", "dead-letters", "fly"]])
def test_a_mention_of_what_does_not_exist_is_found(words):
    with pytest.raises(UnknownError):
        check_mention(" ".join(words))


def test_a_command_that_is_fine_is_let_pass():
    check_script(
        "CARTCAST_WORKER__DEVICE=cpu cartcast worker --device cpu & curl -s http://x | head -8 > f # cartcast fly"
    )
    check_command([])
