from pathlib import Path

import pytest
from hypothesis import given as generated
from hypothesis import strategies as st
from pydantic import ValidationError

from cartcast.settings import CONFIG_FILE_VARIABLE, SECRETS_DIRECTORY_VARIABLE, Settings, load_settings
from service.errors import UsageError
from tests.harness.certificates import Authority

SECRET = "hunter2"  # noqa: S105 - nobody's


@pytest.fixture
def config(tmp_path):
    def config(text: str | bytes) -> Path:
        path = tmp_path / "settings.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return config


def refusal(*arguments, **flags) -> str:
    with pytest.raises(UsageError) as refused:
        load_settings(*arguments, **flags)
    line = str(refused.value)
    assert "\n" not in line
    assert SECRET not in line
    return line


def test_the_defaults_run_the_local_stack():
    settings = load_settings()
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert settings.clickhouse.url == "http://127.0.0.1:8123"
    assert settings.kafka.client_config() == {"bootstrap.servers": "127.0.0.1:9092"}


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(config, monkeypatch):
    file = config("kafka: {partitions: 5, topic_prefix: from-file, replication_factor: 2}")
    monkeypatch.setenv("CARTCAST_KAFKA__PARTITIONS", "6")
    monkeypatch.setenv("CARTCAST_KAFKA__TOPIC_PREFIX", "from-environment")
    kafka = load_settings(file, kafka={"partitions": 7}).kafka
    assert (kafka.partitions, kafka.topic_prefix, kafka.replication_factor) == (7, "from-environment", 2)
    assert kafka.security_protocol == "PLAINTEXT"


def test_a_branch_is_merged_from_everywhere_not_replaced(config, monkeypatch):
    file = config("clickhouse: {url: 'http://file:8123', user: file}\nsink: {block_rows: 7}")
    monkeypatch.setenv("CARTCAST_CLICKHOUSE", '{"user": "environment"}')
    monkeypatch.setenv("CARTCAST_CLICKHOUSE__PASSWORD", SECRET)
    settings = load_settings(file, clickhouse={"database": "flag"})
    clickhouse = settings.clickhouse
    assert (clickhouse.url, clickhouse.user, clickhouse.database) == ("http://file:8123", "environment", "flag")
    assert clickhouse.password.get_secret_value() == SECRET
    assert settings.sink.block_rows == 7


def test_the_environment_may_name_the_file_and_a_flag_another(config, monkeypatch, tmp_path):
    named_by_environment = tmp_path / "environment.yaml"
    named_by_environment.write_text("kafka: {partitions: 8}")
    monkeypatch.setenv(CONFIG_FILE_VARIABLE, str(named_by_environment))
    assert load_settings().kafka.partitions == 8
    assert load_settings(config("kafka: {partitions: 9}")).kafka.partitions == 9


def test_a_secret_may_be_a_file_that_is_named_like_its_variable(config, monkeypatch, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "CARTCAST_CLICKHOUSE__PASSWORD").write_text(f"{SECRET}\n")
    (secrets / "cartcast_kafka__sasl_password").write_text("in the file")
    (secrets / "of-another-application").write_text("?")
    monkeypatch.setenv(SECRETS_DIRECTORY_VARIABLE, str(secrets))
    monkeypatch.setenv("CARTCAST_KAFKA__SASL_PASSWORD", "in the environment")
    settings = load_settings(config("clickhouse: {password: in-yaml, user: in-yaml}"))
    assert settings.clickhouse.password.get_secret_value() == SECRET
    assert settings.clickhouse.user == "in-yaml"
    assert settings.kafka.sasl_password.get_secret_value() == "in the environment"
    (secrets / "CARTCAST_CLICKHOSE__PASSWORD").write_text(SECRET)
    assert "there is no setting clickhose" in refusal()


def test_a_secrets_directory_that_cannot_be_read_is_refused(monkeypatch, tmp_path):
    (tmp_path / "file").write_text(SECRET)
    for name in ("nowhere", "file"):
        monkeypatch.setenv(SECRETS_DIRECTORY_VARIABLE, str(tmp_path / name))
        assert SECRETS_DIRECTORY_VARIABLE in refusal()


def test_an_empty_file_sets_nothing(config):
    assert load_settings(config("# nothing yet\n")).model_dump() == load_settings().model_dump()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("kafak: {partitions: 8}", "kafak"),
        ("kafka: {bootstrap_server: x}", "kafka.bootstrap_server"),
        ("worker: {batch: 1}", "worker.batch"),
        ("sink: {rows: 1}", "sink.rows"),
        ("clickhouse: {host: x}", "clickhouse.host"),
        ("log: {colour: true}", "log.colour"),
        ("kafka: 5", "kafka"),
        ("kafka:", "kafka"),
        ("kafka: {partitions: many}", "kafka.partitions"),
        ("kafka: {partitions: 0}", "kafka.partitions"),
        ("kafka: {topic_prefix: 'a b'}", "kafka.topic_prefix"),
        ("kafka: {security_protocol: TLS}", "kafka.security_protocol"),
        ("worker: {commit_interval_seconds: -1}", "worker.commit_interval_seconds"),
        ("log: {level: loud}", "log.level"),
    ],
)
def test_a_wrong_setting_in_the_file_is_one_line_that_names_it(config, text, named):
    assert f"setting {named}:" in refusal(config(text))


@pytest.mark.parametrize("text", ["kafka: [", "- kafka", "kafka", b"\xff\xfe\x00", f"clickhouse: {{password: {SECRET}"])
def test_a_file_that_is_no_settings_file_is_one_line_that_names_it(config, text):
    file = config(text)
    assert f"settings file {file}" in refusal(file)


def test_a_file_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    for path in (tmp_path / "missing.yaml", tmp_path):
        assert str(path) in refusal(path)
    monkeypatch.setenv(CONFIG_FILE_VARIABLE, "/nowhere.yaml")
    assert CONFIG_FILE_VARIABLE in refusal()


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("CARTCAST_KAFKA__PARTITIONS", "many", "kafka.partitions"),
        ("CARTCAST_KAFKA__PARTITIONS", "", "kafka.partitions"),
        ("CARTCAST_KAFKA__PARTITIONS__X", "1", "kafka.partitions"),
        ("CARTCAST_KAFKA__BOOTSTRAP_SERVER", "x", "kafka.bootstrap_server"),
        ("CARTCAST_KAFAK__PARTITIONS", "8", "CARTCAST_KAFAK__PARTITIONS"),
        ("CARTCAST_KAFKA_PARTITIONS", "8", "did you mean CARTCAST_KAFKA__PARTITIONS"),
        ("CARTCAST_KAFKA__BOOTSTRAP_SERVERS", "u:hidden@h:9", "kafka.bootstrap_servers"),
        ("CARTCAST_CLICKHOUSE__URL", "https://h:8443/?password=hidden", "url holds a query"),
        ("CARTCAST_KAFKA", "not json", "variable CARTCAST_KAFKA is not JSON"),
    ],
)
def test_a_wrong_variable_is_one_line_that_names_it(monkeypatch, variable, value, named):
    monkeypatch.setenv(variable, value)
    assert named in refusal()
    assert "hidden" not in refusal()


def test_variables_that_are_somebody_elses_are_left_alone(monkeypatch):
    """Kubernetes sets these in every pod of a namespace with a service named cartcast-worker."""
    monkeypatch.setenv("CARTCAST_WORKER_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("CARTCAST_WORKER_PORT_8080_TCP", "tcp://10.0.0.1:8080")
    monkeypatch.setenv("CARTCAST_DASHBOARD_PORT", "tcp://10.0.0.1:8501")
    assert load_settings().model_dump() == Settings().model_dump()


def test_a_wrong_flag_is_one_line_that_names_the_setting_and_shows_the_value():
    line = "setting kafka.partitions: must be a whole number above 0 (given: -3, from flag --partitions)"
    assert refusal(kafka={"partitions": -3}) == line


@pytest.mark.parametrize(
    "text",
    [
        f"clickhouse: {{password: [{SECRET}]}}",
        f"kafka: {{sasl_password: {{a: {SECRET}}}}}",
        f"clickhouse: {SECRET}",
        "clickhouse: {password: 12345678}",
    ],
)
def test_a_secret_is_never_in_an_error(config, text):
    assert "12345678" not in refusal(config(text))


def test_a_secret_is_never_in_what_settings_print(config):
    settings = load_settings(config(f"clickhouse: {{password: {SECRET}}}\nkafka: {{sasl_password: {SECRET}}}"))
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


def test_settings_cannot_be_changed():
    settings = load_settings()
    for branch, name in ((settings, "kafka"), (settings.kafka, "partitions"), (settings.worker, "device")):
        with pytest.raises(ValidationError):
            setattr(branch, name, None)


def test_security_settings_reach_the_client(tmp_path):
    authority = Authority(tmp_path)
    kafka = load_settings(
        kafka={
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "shop",
            "sasl_password": SECRET,
            "ssl_ca_location": authority.ca,
        }
    ).kafka
    assert kafka.client_config() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "shop",
        "sasl.password": SECRET,
        "ssl.ca.location": str(authority.ca),
    }


def test_a_user_name_without_sasl_is_not_sent():
    assert "sasl.username" not in load_settings(kafka={"sasl_username": "shop"}).kafka.client_config()


@generated(st.from_regex(r"\A[A-Za-z0-9._-]{1,50}\Z"))
def test_every_topic_begins_with_the_prefix(prefix):
    topics = load_settings(kafka={"topic_prefix": prefix}).kafka.topics
    assert topics.events == f"{prefix}.events"
    assert topics.scores == f"{prefix}.scores"
    assert topics.dead_letters == f"{prefix}.dead-letters"
    assert topics.changelog.startswith(f"{prefix}-")
