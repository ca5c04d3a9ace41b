"""Every value says where it came from: in errors, and in what `cartcast config show` prints."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cartcast.__main__ import app
from cartcast.reference import settings_page
from cartcast.settings import Settings, load, load_settings
from cartcast.settings.fields import setting_fields
from cartcast.settings.view import MASK, as_tree, shown_settings
from service.errors import UsageError

SECRET = "hunter2-and-a-few-more"  # noqa: S105 - nobody's


@pytest.fixture
def yaml(tmp_path):
    def yaml(text: str) -> Path:
        path = tmp_path / "shop.yml"
        path.write_text(text)
        return path

    return yaml


def refusal(config_file: Path | None = None, **flags: object) -> str:
    with pytest.raises(UsageError) as refused:
        load_settings(config_file, **flags)
    line = str(refused.value)
    assert "\n" not in line
    assert SECRET not in line
    return line


def test_a_wrong_value_names_the_setting_what_is_allowed_and_its_source(yaml, monkeypatch, tmp_path):
    protocols = "must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
    assert refusal(kafka={"partitions": 0}).endswith(
        "must be a whole number above 0 (given: 0, from flag --partitions)"
    )
    file = yaml("kafka: {security_protocol: TLS}\nsink: {metrics_port: 70000}")
    assert refusal(file) == f"setting kafka.security_protocol: {protocols} (given: 'TLS', from file {file})"
    monkeypatch.setenv("CARTCAST_KAFKA__SECURITY_PROTOCOL", "tls")
    variable = "variable CARTCAST_KAFKA__SECURITY_PROTOCOL"
    assert refusal(file) == f"setting kafka.security_protocol: {protocols} (given: 'tls', from {variable})"
    monkeypatch.delenv("CARTCAST_KAFKA__SECURITY_PROTOCOL")
    (tmp_path / "secrets").mkdir()
    secret = tmp_path / "secrets" / "CARTCAST_KAFKA__SECURITY_PROTOCOL"
    secret.write_text("SSL2\n")
    monkeypatch.setenv("CARTCAST_SECRETS_DIR", str(secret.parent))
    assert refusal(file).endswith(f"(given: 'SSL2', from file {secret})")


@pytest.mark.parametrize(
    ("text", "name", "line"),
    [
        ("worker: {fetch_max_wait_ms: 1}\nsink: {block_rows: 5}\nworker: {web_port: 1}", "worker", 3),
        ("worker:\n  fetch_max_wait_ms: 1\n  fetch_max_wait_ms: 2", "fetch_max_wait_ms", 3),
    ],
)
def test_a_setting_that_a_file_gives_twice_is_refused(yaml, text, name, line):
    file = yaml(text)
    assert refusal(file) == f"the settings file {file} gives {name} again in line {line}: keep one of the two"


@pytest.mark.parametrize("setting", ["worker.drain_seconds", "sink.block_seconds", "dashboard.refresh_seconds"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_duration_is_finite(setting, value, monkeypatch):
    monkeypatch.setenv(f"CARTCAST_{setting.replace('.', '__').upper()}", value)
    assert f"setting {setting}: must be a number" in refusal()


@pytest.mark.parametrize("place", [("kafka", "oauth_token_url"), ("dashboard", "worker_url")])
def test_a_password_in_an_address_is_refused_without_showing_it(place):
    branch, name = place
    line = refusal(**{branch: {name: f"https://shop:{SECRET}@id.example/token"}})
    assert f"setting {branch}.{name}: must be" in line
    assert "https://***@id.example/token" in line


def test_an_unknown_setting_names_its_source_and_the_one_that_was_meant(yaml, monkeypatch, tmp_path):
    file = yaml("kafka: {bootstrap_server: x}")
    assert refusal(file) == (
        f"setting kafka.bootstrap_server: there is no such setting (from file {file}); "
        "did you mean kafka.bootstrap_servers?"
    )
    assert "there are kafka, clickhouse, worker" in refusal(yaml("elsewhere: {}"))
    assert "log has level, format" in refusal(yaml("log: {x: 1}"))
    monkeypatch.setenv("CARTCAST_SINK__BLOCKROWS", "5")
    assert "from variable CARTCAST_SINK__BLOCKROWS); did you mean sink.block_rows?" in refusal()
    monkeypatch.delenv("CARTCAST_SINK__BLOCKROWS")
    unknown = tmp_path / "CARTCAST_CLICKHOUSE__PASSWRD"
    unknown.write_text(SECRET)
    monkeypatch.setenv("CARTCAST_SECRETS_DIR", str(tmp_path))
    assert f"from file {unknown}); did you mean clickhouse.password?" in refusal()


def test_a_rule_about_several_settings_names_where_they_stand(yaml, monkeypatch):
    file = yaml("clickhouse: {segment_medium: 0.5}")
    monkeypatch.setenv("CARTCAST_CLICKHOUSE__SEGMENT_HIGH", "0.2")
    line = refusal(file)
    assert "segment_medium is above segment_high" in line
    assert f"file {file}" in line
    assert "variable CARTCAST_CLICKHOUSE__SEGMENT_HIGH" in line


@pytest.mark.parametrize(
    ("mechanism", "missing"),
    [("PLAIN", "sasl_username"), ("SCRAM-SHA-512", "sasl_username"), ("OAUTHBEARER", "oauth_token_url")],
)
def test_sasl_without_its_credentials_is_refused(mechanism, missing):
    line = refusal(kafka={"security_protocol": "SASL_SSL", "sasl_mechanism": mechanism})
    assert f"{missing} is empty, but sasl_mechanism {mechanism} needs it" in line


def test_a_secret_may_be_named_by_a_file(yaml, monkeypatch, tmp_path):
    in_variable, in_yaml = tmp_path / "kafka", tmp_path / "clickhouse"
    in_variable.write_text(f"{SECRET}\n")
    in_yaml.write_text("from yaml\n")
    monkeypatch.setenv("CARTCAST_KAFKA__SASL_PASSWORD_FILE", str(in_variable))
    loaded = load(yaml(f"clickhouse: {{password_file: {in_yaml}}}\nkafka: {{sasl_password: weaker}}"))
    assert loaded.settings.kafka.sasl_password.get_secret_value() == SECRET
    assert loaded.settings.clickhouse.password.get_secret_value() == "from yaml"
    shown = as_tree(shown_settings(loaded))
    assert shown["kafka"]["sasl_password"]["source"] == (
        f"file {in_variable}, named by variable CARTCAST_KAFKA__SASL_PASSWORD_FILE"
    )


def test_a_secret_file_that_is_missing_or_empty_is_one_line(monkeypatch, tmp_path):
    missing = tmp_path / "missing"
    monkeypatch.setenv("CARTCAST_CLICKHOUSE__PASSWORD_FILE", str(missing))
    assert refusal() == (
        f"the secret file {missing} cannot be read (no such file or directory): create it, or correct "
        "variable CARTCAST_CLICKHOUSE__PASSWORD_FILE"
    )
    missing.write_text("\n")
    assert f"the secret file {missing} is empty" in refusal()
    missing.write_text(SECRET)
    monkeypatch.setenv("CARTCAST_CLICKHOUSE__PASSWORD", SECRET)
    assert "clickhouse.password and clickhouse.password_file are both set" in refusal()
    monkeypatch.delenv("CARTCAST_CLICKHOUSE__PASSWORD")
    monkeypatch.setenv("CARTCAST_CLICKHOUSE__USER_FILE", str(missing))  # not a secret
    assert "setting clickhouse.user_file: there is no such setting" in refusal()


def test_config_show_prints_each_value_with_its_source_and_no_secret(yaml, monkeypatch):
    secrets = [field for field in setting_fields(Settings) if field.is_secret]
    for number, field in enumerate(secrets):
        monkeypatch.setenv(field.variable, f"{SECRET}-{number}")
    file = yaml(
        f"kafka: {{partitions: 8}}\ntrace: {{endpoint: 'https://shop:{SECRET}@traces.example/v1?key={SECRET}'}}"
    )
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        printed = CliRunner().invoke(app, ["--config", str(file), *arguments])
        assert printed.exit_code == 0, printed.output
        assert SECRET not in printed.output
    tree = json.loads(printed.stdout)
    assert tree["kafka"]["partitions"] == {"value": 8, "source": f"file {file}"}
    assert tree["kafka"]["topic_prefix"] == {"value": "cartcast", "source": "default"}
    assert tree["trace"]["endpoint"]["value"] == "https://***@traces.example/v1?***"
    masked = {"value": MASK, "source": "variable CARTCAST_SINK__METRICS_TOKEN"}
    assert tree["sink"]["metrics_token"] == masked
    assert {f"{branch}.{name}" for branch, names in tree.items() for name in names} == {
        field.name for field in setting_fields(Settings)
    }


def test_every_setting_is_described_and_on_the_page():
    page = settings_page.page()
    for field in setting_fields(Settings):
        assert field.description, f"{field.name} has no description"
        assert field.allowed
        assert f"`{field.name}`<br>`{field.variable}`" in page


def test_a_unit_in_a_name_is_on_the_page():
    units = {field.name: field.unit for field in setting_fields(Settings)}
    assert units["sink.block_seconds"] == "seconds"
    assert units["worker.fetch_max_wait_ms"] == "milliseconds"
    assert units["worker.fetch_min_bytes"] == "bytes"
    assert units["kafka.partitions"] == ""
