"""Alerts fire when they should and only then, ask for metrics that exist, and each has a page that says what to do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.declared_metrics import strangers

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
RUNBOOKS = {path.stem: path.read_text() for path in (ROOT / "docs/runbooks").glob("*.md") if path.stem != "index"}
GROUPS = yaml.safe_load((PROMETHEUS / "rules/cartcast.yml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


@pytest.fixture(scope="session")
def promtool():
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is missing: apt-get install --no-install-recommends prometheus")
    return found


def run(*arguments):
    done = subprocess.run([str(each) for each in arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration_and_the_rules(promtool):
    run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")


def test_alerts_fire_when_they_should_and_only_then(promtool):
    run(promtool, "test", "rules", *TESTS)


def test_every_alert_is_tested_to_fire_and_not_to_fire():
    cases = [
        case for path in TESTS for test in yaml.safe_load(path.read_text())["tests"] for case in test["alert_rule_test"]
    ]
    fires = {
        (case["alertname"], alert["exp_labels"]["severity"], alert["exp_labels"].get("cause"))
        for case in cases
        for alert in case["exp_alerts"]
    }
    assert fires == {(rule["alert"], rule["labels"]["severity"], rule["labels"].get("cause")) for rule in ALERTS}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert silent == {rule["alert"] for rule in ALERTS}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    assert {rule["alert"] for rule in ALERTS} == RUNBOOKS.keys()
    for rule in ALERTS:
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_overview_names_every_alert_with_its_severities():
    rows = re.findall(
        r"^\| \[(\w+)\]\((\w+)\.md\) \| ([a-z, ]+) \|", (ROOT / "docs/runbooks/index.md").read_text(), re.MULTILINE
    )
    assert all(name == page for name, page, _ in rows)
    severities = {name: {rule["labels"]["severity"] for rule in ALERTS if rule["alert"] == name} for name in RUNBOOKS}
    assert {name: set(listed.split(", ")) for name, _, listed in rows} == severities


def test_every_metric_of_an_alert_is_declared_by_the_code():
    assert {
        rule["expr"]: strangers(rule["expr"], RECORDED) for rule in RULES if strangers(rule["expr"], RECORDED)
    } == {}


def fenced(kind):
    return [block for page in RUNBOOKS.values() for block in re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)]


def test_runbooks_say_what_how_and_when():
    for name, page in RUNBOOKS.items():
        assert page.startswith(f"# {name}\n")
        headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
        assert headings == ["What it means", "What people notice", "Look", "Do", "Escalate"]
        assert "```" in page.partition("## Look")[2].partition("## Do")[0], name


def test_the_queries_of_runbooks_are_of_declared_metrics_and_parse(promtool, tmp_path):
    asked = [line for block in fenced("promql") for line in block.splitlines()]
    assert asked
    assert {text: strangers(text, RECORDED) for text in asked if strangers(text, RECORDED)} == {}
    rules = [{"record": f"asked:{number}", "expr": text} for number, text in enumerate(asked)]
    path = tmp_path / "asked.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": rules}]}))
    run(promtool, "check", "rules", path)
