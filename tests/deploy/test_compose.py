"""docker-compose.yml: Compose's own loader takes it, and what it starts runs, in its order, with its environment."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from cartcast.local.clickhouse_engine import CONFIGURATION
from cartcast.local.kafka import KafkaNode
from cartcast.local.kafka_jars import kafka_jars
from cartcast.local.maven import default_cache
from cartcast.local.ports import claimed_port
from cartcast.local.processes import Child, Children, wait_until_ready
from cartcast.settings import load_settings
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from sinks.schema.migrate import migrate
from tests.deploy.go_programs import run
from tests.deploy.image_files import HEALTHCHECK, PARTS, command, environment
from tests.harness.ports import new_port
from tests.harness.sink_process import Engine
from tests.harness.waiting import DEADLINE_SECONDS, eventually

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
READER = ROOT / "deploy" / "clickhouse" / "reader.xml"
SECRETS = ("CLICKHOUSE_PASSWORD", "CLICKHOUSE_READER_PASSWORD", "GRAFANA_PASSWORD", "WEB_TOKEN")
ONE_SHOTS = {"topics", "migrate"}
Service = dict[str, Any]


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .env that the command in .env.example writes."""
    directory = tmp_path_factory.mktemp("env")
    shutil.copy(ROOT / ".env.example", directory)
    line = next(line for line in (directory / ".env.example").read_text().splitlines() if "awk" in line)
    subprocess.run(["/bin/sh", "-ec", line.lstrip("# ")], cwd=directory, check=True)
    return directory / ".env"


@pytest.fixture(scope="module")
def with_retraining(env_file: Path) -> dict[str, Service]:
    """The services with the profile retrain."""
    loaded = run("composeconfig", COMPOSE, env_file, "retrain")
    assert loaded.returncode == 0, loaded.stderr
    found: dict[str, Service] = json.loads(loaded.stdout)["services"]
    return found


@pytest.fixture(scope="module")
def services(env_file: Path) -> dict[str, Service]:
    """The services as Compose sees them, the simulator's profile included."""
    loaded = run("composeconfig", COMPOSE, env_file, "simulator")
    assert loaded.returncode == 0, loaded.stderr
    found: dict[str, Service] = json.loads(loaded.stdout)["services"]
    return found


def test_the_passwords_written_for_env_are_long_and_distinct(env_file):
    written = dict(re.findall(r"^(\w+)=(.*)$", env_file.read_text(), re.MULTILINE))
    assert set(written) == set(SECRETS)
    assert len(set(written.values())) == len(SECRETS)
    assert all(re.fullmatch("[0-9a-f]{32}", word) for word in written.values())
    assert env_file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("missing", [*SECRETS, None])
def test_a_missing_password_is_one_line_that_says_what_to_do(env_file, tmp_path, missing):
    kept = "" if missing is None else re.sub(rf"(?m)^{missing}=.*", f"{missing}=", env_file.read_text())
    (tmp_path / "env").write_text(kept)
    refused = run("composeconfig", COMPOSE, tmp_path / "env")
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert f"{missing or SECRETS[0]} is missing" in line
    assert "write the file .env first, as .env.example says" in line


def test_the_file_holds_no_secret(services, env_file):
    words = dict(re.findall(r"^(\w+)=(.*)$", env_file.read_text(), re.MULTILINE))
    for name, service in services.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|TOKEN", variable):
                assert value in words.values(), f"{name}: {variable} is not from .env"
    raw = yaml.safe_load(COMPOSE.read_text())
    assert not [service for service in raw["services"] if "secrets" in raw["services"][service]]


def test_images_are_pinned_and_services_are_limited_and_watched(services, with_retraining):
    for name, service in (services | with_retraining).items():
        tag = service["image"].partition(":")[2]
        assert re.match(r"v?\d+\.\d+|local", tag), f"{name}: {service['image']}"
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= set(limits), name
        assert "container_name" not in service, name  # two workers cannot have one name
        assert "no-new-privileges:true" in service["security_opt"], name
        own = service["image"].startswith("cartcast-")
        if own or name == "prometheus":
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
        assert own or service["healthcheck"]["test"], name


def test_only_this_machine_reaches_what_is_published(services):
    published = [(name, port) for name, service in services.items() for port in service.get("ports") or ()]
    assert {name for name, _ in published} >= {"dashboard", "grafana", "kafka", "clickhouse"}
    assert [name for name, port in published if port["host_ip"] != "127.0.0.1"] == []
    assert [port.get("published") for name, port in published if name == "worker"] == [None]  # scalable


def test_a_service_waits_for_what_it_needs(services):
    def conditions(name: str) -> dict[str, str]:
        return {on: what["condition"] for on, what in (services[name].get("depends_on") or {}).items()}

    done, healthy = "service_completed_successfully", "service_healthy"
    assert conditions("topics") == {"kafka": healthy}
    assert conditions("migrate") == {"clickhouse": healthy}
    assert conditions("worker") == {"topics": done}
    assert conditions("sink") == {"topics": done, "migrate": done}
    assert conditions("dashboard") == {"migrate": done}
    assert conditions("simulator") == {"worker": healthy}
    assert {services[name]["restart"] for name in ONE_SHOTS} == {"no"}


def test_variables_are_settings_and_the_grace_is_longer_than_the_drain(services, monkeypatch):
    for name in ("topics", "migrate", *PARTS, "simulator"):
        with monkeypatch.context() as patch:
            _set(patch, services[name]["environment"])
            settings = load_settings()
        if name == "worker":
            grace = int(services[name]["stop_grace_period"].removesuffix("s"))
            assert grace > settings.worker.drain_seconds + 10
            assert settings.worker.web_token.get_secret_value()
        assert settings.kafka.partitions == 4


def test_what_is_retrained_is_what_the_workers_can_read(with_retraining, monkeypatch):
    worker, retrain = with_retraining["worker"], with_retraining["retrain"]
    mounts = [
        (mount["source"], mount["target"], mount.get("read_only", False))
        for service in (worker, retrain)
        for mount in service["volumes"]
    ]
    assert mounts == [("checkpoints", "/checkpoints", True), ("checkpoints", "/checkpoints", False)]
    words = retrain["command"]
    assert words[words.index("--checkpoint") + 1] == "/checkpoints/current"
    assert command("trainer", "CMD") == words[:1]
    assert retrain["restart"] == "no"
    for service, user in ((worker, None), (retrain, "cartcast_reader")):
        with monkeypatch.context() as patch:
            _set(patch, service["environment"])
            settings = load_settings()
        assert settings.worker.checkpoint is None  # until .env names it
        assert user in {None, settings.clickhouse.user}


def test_the_gpu_file_goes_on_top(services, env_file):
    changed = yaml.safe_load((ROOT / "deploy" / "compose" / "gpu.yml").read_text())["services"]
    assert set(changed) <= set(services)
    assert changed["worker"]["build"]["args"] == {"DEVICE": "cuda"}
    merged = run("composeconfig", f"{COMPOSE},{ROOT / 'deploy/compose/gpu.yml'}", env_file)
    worker = json.loads(merged.stdout)["services"]["worker"]
    assert worker["build"]["args"]["DEVICE"] == "cuda"
    assert worker["image"].endswith("-cuda")
    assert worker["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_prometheus_finds_the_same_jobs_and_rules(tmp_path):
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool (Debian: prometheus)")
    text = (ROOT / "deploy" / "compose" / "prometheus.yml").read_text()
    (tmp_path / "token").write_text("word")
    (tmp_path / "rules").symlink_to(ROOT / "deploy" / "prometheus" / "rules")
    text = text.replace("/tmp/token", str(tmp_path / "token")).replace("/etc/cartcast", str(tmp_path))  # noqa: S108
    (tmp_path / "prometheus.yml").write_text(text)
    checked = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    own = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    jobs = [job["job_name"] for job in yaml.safe_load(text)["scrape_configs"]]
    assert jobs == [job["job_name"] for job in own["scrape_configs"]]


def test_grafana_is_given_what_its_provisioning_asks_for(services):
    given = services["grafana"]["environment"]
    files = (ROOT / "deploy" / "grafana" / "provisioning").rglob("*.yaml")
    asked = {name for file in files for name in re.findall(r"\$\{(\w+)\}", file.read_text())}
    assert asked <= set(given)


def test_dashboard_and_grafana_ask_clickhouse_as_a_user_who_only_reads(services):
    reader = services["clickhouse"]["environment"]["CLICKHOUSE_READER_PASSWORD"]
    grafana, dashboard = (services[name]["environment"] for name in ("grafana", "dashboard"))
    assert (grafana["CLICKHOUSE_USER"], grafana["CLICKHOUSE_PASSWORD"]) == ("cartcast_reader", reader)
    prefix = "CARTCAST_CLICKHOUSE__"
    assert (dashboard[f"{prefix}USER"], dashboard[f"{prefix}PASSWORD"]) == ("cartcast_reader", reader)
    mounted = [volume["target"] for volume in services["clickhouse"]["volumes"] if volume["type"] == "bind"]
    assert mounted == ["/etc/clickhouse-server/users.d/reader.xml"]


def test_the_development_overlay_has_the_same_user():
    servers = yaml.safe_load_all((ROOT / "deploy/kubernetes/overlays/dev/servers.yaml").read_text())
    (users,) = [each["data"] for each in servers if each["kind"] == "ConfigMap"]
    assert users["reader.xml"] == READER.read_text()


_AS_READER: Final = """
import json, sys
import chdb
directory, config, users, statements = sys.argv[1:]
handle = chdb.connect(f"{directory}?config-file={config}&users_config={users}")
handle.query("USE cartcast", "Null")
refused = {}
for statement in json.loads(statements):
    try:
        handle.query(statement, "Null")
    except RuntimeError as failure:
        refused[statement] = str(failure)
print(json.dumps(refused))
"""
CHANGES: Final = [
    "INSERT INTO cartcast.schema_migrations SELECT * FROM cartcast.schema_migrations",
    "ALTER TABLE cartcast.scores DELETE WHERE 1",
    "DROP TABLE cartcast.scores",
    "TRUNCATE TABLE cartcast.scores",
    "CREATE TABLE cartcast.mine (a Int8) ENGINE = Memory",
    "SELECT * FROM url('http://127.0.0.1:9/', 'TSV')",
    "SELECT * FROM file('/etc/passwd', 'TSV')",
    "SELECT * FROM another.private",
]


@pytest.mark.integration
def test_that_user_reads_every_table_and_view_and_nothing_else(tmp_path):
    data = tmp_path / "data"
    engine = Engine(data, new_port())
    migrate(ClickHouseSettings(url=engine.url))
    client = connect(ClickHouseSettings(url=engine.url))
    client.command("CREATE DATABASE another")
    client.command("CREATE TABLE another.private (a Int8) ENGINE = MergeTree ORDER BY a")
    names = client.query(
        "SELECT name FROM system.tables WHERE database = 'cartcast' AND parameterized_view_parameters = []"
    ).result_columns[0]
    client.close_connections()
    assert engine.stop() == 0

    # the engine in this process has one user: he is given what the file gives the reader
    users = READER.read_text().replace("  <profiles>", "  <quotas><default/></quotas><profiles><default/>")
    users = users.replace("<cartcast_reader>\n      <password", "<default>\n      <password")
    users = users.replace("</cartcast_reader>\n  </users>", "</default>\n  </users>")
    users = users.replace('<password from_env="CLICKHOUSE_READER_PASSWORD"/>', "<password/>")
    (tmp_path / "users.xml").write_text(users)
    reads = [f"SELECT * FROM cartcast.`{name}` LIMIT 1" for name in names]  # noqa: S608 - of our own tables
    asked = [str(data), str(CONFIGURATION / "config.xml"), str(tmp_path / "users.xml"), json.dumps(reads + CHANGES)]
    ran = subprocess.run(
        [sys.executable, "-c", _AS_READER, *asked], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    refused = json.loads(ran.stdout)
    assert len(reads) > 30
    assert sorted(refused) == sorted(CHANGES), refused


class Machine:
    """Runs the services as processes: their commands and environments, with this machine's addresses."""

    def __init__(self, services: Mapping[str, Service], directory: Path, cleanup: ExitStack) -> None:
        self.services = services
        self.children = cleanup.enter_context(Children(directory / "logs"))
        self.running: dict[str, Child] = {}
        self.started: list[str] = []
        self._directory = directory
        names = ("kafka", "controller", "clickhouse", "worker", "sink", "dashboard")
        self.ports = {name: cleanup.enter_context(claimed_port()) for name in names}

    def start(self, name: str) -> None:
        """Start a service; return when what waits for it may start."""
        self.started.append(name)
        if name == "kafka":
            self._start_kafka()
        elif name == "clickhouse":
            self._start_clickhouse()
        elif name in ONE_SHOTS:
            assert self._command(name).wait(DEADLINE_SECONDS) == 0, self.running[name].last_words()
        else:
            self._command(name)
            if name in PARTS:
                self._wait_until_healthy(name)

    def here(self, text: str) -> str:
        """Return a text of the Compose file or the Dockerfile with the addresses of this machine."""
        for there, here in {
            "kafka:9092": f"127.0.0.1:{self.ports['kafka']}",
            "://clickhouse:8123": f"://127.0.0.1:{self.ports['clickhouse']}",
            "worker:6066": f"127.0.0.1:{self.ports['worker']}",
            "127.0.0.1:6066": f"127.0.0.1:{self.ports['worker']}",
            "127.0.0.1:9109": f"127.0.0.1:{self.ports['sink']}",
            "127.0.0.1:8501": f"127.0.0.1:{self.ports['dashboard']}",
        }.items():
            text = text.replace(there, here)
        return text

    def page(self, name: str, path: str, token: str = "") -> int:
        """Return the status of a page."""
        asked = Request(f"http://127.0.0.1:{self.ports[name]}{path}")
        if token:
            asked.add_header("Authorization", f"Bearer {token}")
        try:
            with urlopen(asked) as answer:  # noqa: S310
                return int(answer.status)
        except HTTPError as refused:
            return refused.code

    def _command(self, name: str) -> Child:
        service = self.services[name]
        part = name if name in PARTS else "sink"
        assert service["image"].startswith(f"cartcast-{part}:")
        variables = {**environment(part), **service["environment"], "PYTHONPATH": str(ROOT)}
        variables["PATH"] = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        variables["HOME"] = str(self._directory)
        if part in self.ports:
            variables |= {variable: str(self.ports[part]) for variable in _port_variables(part)}
        entry = service["entrypoint"] or command(part, "ENTRYPOINT")
        words = [*entry, *service["command"]]
        if words[0] == "cartcast":
            words = [sys.executable, "-m", *words]
        # the loopback address, or another machine could reach a test
        settings = {key: self.here(value).replace("0.0.0.0", "127.0.0.1") for key, value in variables.items()}  # noqa: S104
        words = [word.replace("$$", "$") for word in words]
        self.running[name] = self.children.start(name, words, settings)
        return self.running[name]

    def _wait_until_healthy(self, name: str) -> None:
        problem = runpy.run_path(str(HEALTHCHECK))["problem"]  # in this process: a new one a question would be slow
        (url,) = [self.here(word) for word in command(name, "HEALTHCHECK")[1:]]
        wait_until_ready(self.running[name], lambda: problem(url) is None, DEADLINE_SECONDS)

    def _start_kafka(self) -> None:
        given = self.services["kafka"]["environment"]
        prefix = "KAFKA_"
        properties = {
            name.removeprefix(prefix).lower().replace("_", "."): value
            for name, value in given.items()
            if name.startswith(prefix) and name not in {"KAFKA_HEAP_OPTS", "KAFKA_LOG_DIRS"}
        }
        inside, controller = self.ports["kafka"], self.ports["controller"]
        properties["listeners"] = f"INSIDE://127.0.0.1:{inside},CONTROLLER://127.0.0.1:{controller}"
        properties["advertised.listeners"] = f"INSIDE://127.0.0.1:{inside}"
        properties["controller.quorum.voters"] = f"1@127.0.0.1:{controller}"
        node = KafkaNode(
            self._directory / "kafka", kafka_jars(default_cache(), print), inside, controller, properties=properties
        )
        node.wait_until_ready(node.start(self.children))

    def _start_clickhouse(self) -> None:
        given = self.services["clickhouse"]["environment"]
        password = self._directory / "password"
        password.write_text(given["CLICKHOUSE_PASSWORD"])
        words = ["--path", str(self._directory / "clickhouse"), "--port", str(self.ports["clickhouse"])]
        words += ["--user", given["CLICKHOUSE_USER"], "--password-file", str(password)]
        server = self.children.start(
            "clickhouse", [sys.executable, "-m", "cartcast.local.clickhouse_server", *words], {"PYTHONPATH": str(ROOT)}
        )
        ping = f"http://127.0.0.1:{self.ports['clickhouse']}/ping"
        wait_until_ready(server, lambda: _answers(ping), DEADLINE_SECONDS)


@pytest.fixture
def machine(services: dict[str, Service], tmp_path: Path) -> Iterator[Machine]:
    with ExitStack() as cleanup:
        yield Machine(services, tmp_path, cleanup)


@pytest.mark.integration
def test_its_commands_start_in_its_order_and_score_what_the_simulator_does(machine, services):
    graph = {name: service.get("depends_on") or {} for name, service in services.items()}
    for name in TopologicalSorter(graph).static_order():
        if name not in {"prometheus", "grafana"}:
            machine.start(name)

    assert machine.started.index("simulator") > machine.started.index("worker")
    given = services["sink"]["environment"]
    where = ClickHouseSettings(
        url=machine.here(given["CARTCAST_CLICKHOUSE__URL"]),
        user=given["CARTCAST_CLICKHOUSE__USER"],
        password=given["CARTCAST_CLICKHOUSE__PASSWORD"],
    )
    client = connect(where)
    eventually(
        lambda: client.command("SELECT count() FROM cartcast.scores"),
        "a score",
        found=lambda: {name: child.last_words() for name, child in machine.running.items()},
    )
    client.close_connections()

    token = services["prometheus"]["environment"]["WEB_TOKEN"]
    for name in ("worker", "sink"):
        assert machine.page(name, "/livez") == 200
        assert machine.page(name, "/metrics") == 401
        assert machine.page(name, "/metrics", token) == 200
    for name in PARTS:
        machine.running[name].request_stop()
    for name in PARTS:
        assert machine.running[name].wait(DEADLINE_SECONDS) == 0, machine.running[name].last_words()


def _port_variables(part: str) -> list[str]:
    return {
        "worker": ["CARTCAST_WORKER__WEB_PORT"],
        "sink": ["CARTCAST_SINK__METRICS_PORT"],
        "dashboard": ["CARTCAST_DASHBOARD__PORT"],
    }[part]


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def _set(patch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        patch.setenv(name, value)
