"""The images: BuildKit's linter likes their file, and what they install is pinned, enough to run, and small."""

import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import distributions
from pathlib import Path
from threading import Thread

import pytest

from model.checkpoint import DEFAULT_CHECKPOINT
from tests.deploy.go_programs import run
from tests.deploy.image_files import DOCKERFILE, HEALTHCHECK, PARTS, ROOT, command, environment, instructions, stages

REQUIREMENTS = DOCKERFILE.parent / "requirements"
SETS = sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))
UV = Path(sys.executable).with_name("uv")
MEGABYTE = 1_000_000
MOST_MEGABYTES = {"sink": 150, "dashboard": 600, "worker-cpu": 4500, "worker-cuda": 6500, "trainer": 4500}
"""What an image's packages may take, unpacked; a set that grows past it was not meant to."""
HEAVY = re.compile(r"torch|triton|nvidia|cuda|faust")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_buildkits_linter_finds_nothing(device):
    linted = run("dockerfilelint", DOCKERFILE, "", f"DEVICE={device}")
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


@pytest.mark.parametrize("part", PARTS)
def test_an_image_is_labelled_checked_and_run_by_nobody_in_particular(part):
    (user,) = [each.text for each in instructions(part) if each.name == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)  # a number, so that Kubernetes can see that it is not root
    assert command(part, "ENTRYPOINT") == ["cartcast"]
    assert command(part, "CMD") == [part]
    labels = " ".join(each.text for each in instructions(part) if each.name == "LABEL")
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in labels
    url = command(part, "HEALTHCHECK")[1]
    (port,) = [each.text for each in instructions(part) if each.name == "EXPOSE"]
    assert f":{port}/" in url
    assert port in [*environment(part).values(), "8501"]


def test_the_trainer_is_run_by_nobody_in_particular_and_ends():
    (user,) = [each.text for each in instructions("trainer") if each.name == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert command("trainer", "ENTRYPOINT") + command("trainer", "CMD") == ["cartcast", "retrain"]
    assert [each.text for each in instructions("trainer") if each.name == "HEALTHCHECK"] == ["NONE"]
    assert f"chown {user} /checkpoints" in " ".join(each.text for each in instructions("trainer") if each.name == "RUN")


@pytest.mark.parametrize("part", [*PARTS, "trainer"])
def test_the_last_stage_holds_nothing_that_builds(part):
    base, own = stages()[part]
    assert base == "runtime"
    assert not [each for each in own if each.name == "RUN"]
    copied = [each.text for each in own if each.name == "COPY"]
    assert copied == [f"--from={part}-packages /opt/cartcast /opt/cartcast"]
    assert "uninstall --yes --quiet setuptools wheel pip" in " ".join(each.text for each in instructions(part))


def test_bases_are_pinned_and_every_install_checks_hashes():
    text = DOCKERFILE.read_text()
    assert re.search(r"^ARG PYTHON_VERSION=\d+\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert {base for base, _ in stages().values()} - set(stages()) == {"python:${PYTHON_VERSION}"}
    installs = re.findall(r"\binstall .*", text)
    assert [line for line in installs if "--require-hashes" not in line and "--no-index" not in line] == []


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_part_of_the_lock_hash_by_hash(name):
    locked, chosen = _pins(ROOT / "requirements.lock"), _pins(REQUIREMENTS / f"{name}.txt")
    assert chosen
    for pin, hashes in chosen.items():
        assert hashes == locked[pin], f"{pin} is not as in requirements.lock: make lock"
    if name in {"sink", "dashboard", "build"}:
        assert [pin for pin in chosen if HEAVY.match(pin)] == []


@pytest.mark.parametrize(
    ("name", "extras"),
    [("sink", ["sink"]), ("dashboard", ["dashboard"]), ("worker-cuda", ["worker", "trace", "cuda"])],
)
def test_a_set_is_all_that_its_part_needs(name, extras):
    """The package's own requirements, with its extras, are met by the set alone, whatever else is locked."""
    options = ["--quiet", "--no-header", "--no-annotate", "--python-version", "3.11", "--universal"]
    options += [f"--extra={extra}" for extra in extras]
    resolved = subprocess.run(
        [str(UV), "pip", "compile", *options, "--constraints", "requirements.lock", "pyproject.toml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert resolved.returncode == 0, resolved.stderr
    assert set(_pins_of(resolved.stdout)) == set(_pins(REQUIREMENTS / f"{name}.txt"))


@pytest.mark.parametrize("name", sorted(MOST_MEGABYTES))
def test_the_size_of_an_image(name, record_property, capsys):
    """The sum of what the packages' own records say; printed, so that a change is seen."""
    sizes = _installed_bytes(name)
    assert len(sizes) > len(_names(name)) * 0.8
    total = sum(sizes.values()) / MEGABYTE
    largest = sorted(sizes, key=lambda package: -sizes[package])[:3]
    words = ", ".join(f"{package} {sizes[package] / MEGABYTE:,.0f}" for package in largest)
    record_property("megabytes", round(total))
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {len(sizes)} packages, {total:,.0f} MB unpacked ({words})\n")
    assert total < MOST_MEGABYTES[name]


@pytest.fixture(scope="module")
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A fresh environment with what one image installs, and nothing else."""
    part = request.param
    directory = tmp_path_factory.mktemp(part) / "venv"
    subprocess.run([str(UV), "venv", "--quiet", "--python", sys.executable, str(directory)], check=True)
    install = [str(UV), "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--python", str(directory)]
    subprocess.run([*install, "--requirement", str(REQUIREMENTS / f"{part}.txt")], check=True)
    return part, directory / "bin" / "python"


RUNS = """
import importlib.util, sys
from cartcast.__main__ import main
for words in {commands!r}:
    sys.argv = ["cartcast", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)
{then}
"""
"""Several commands in one interpreter, as fast as its imports."""


@pytest.mark.parametrize("installed", ["sink", "dashboard"], indirect=True)
def test_an_images_commands_run_with_its_packages_alone(installed, tmp_path):
    part, python = installed
    commands = [[part, "--help"]]
    if part == "sink":  # Compose and Kubernetes use it for these, too
        commands += [["topics", "create", "--help"], ["migrate", "--help"], ["replay", "--help"]]
        commands += [["simulate", "--events", "500", "--users", "20", "--out", str(tmp_path / "shop.jsonl")]]
    imports = {
        "sink": "import sinks.consumer, sinks.letters, sinks.schema.migrate, streams.topics, streams.replay",
        "dashboard": "import dashboard.server, dashboard.app, dashboard.pages.timeline",
    }[part]
    absent = "assert not any(map(importlib.util.find_spec, ['torch', 'faust', 'pip']))"
    ran = _python(python, RUNS.format(commands=commands, then=f"{imports}; {absent}"), tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_the_cpu_worker_scores_without_what_only_a_gpu_needs(tmp_path):
    left_out = _names("worker-cuda") - _names("worker-cpu")
    assert left_out == {
        "cuda-bindings", "cuda-pathfinder", "cuda-toolkit", "nvidia-cuda-cccl", "nvidia-ml-py", "nvidia-nvtx", "triton",
    }  # fmt: skip
    hidden = """
import sys, importlib.abc
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('triton', 'cuda', 'pynvml'):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
"""
    event = b'{"event_id":"e","user_id":"u","type":"cart","ts":1767571200000}\n'
    (tmp_path / "event.jsonl").write_bytes(event)
    words = ["score", "--events", str(tmp_path / "event.jsonl"), "--format", "cartcast"]
    words += ["--checkpoint", str(DEFAULT_CHECKPOINT), "--out", str(tmp_path / "score.jsonl")]
    # the Dockerfile removes cuDNN's parts: none of them may have been opened
    then = "import streams.run; assert 'libcudnn_' not in open('/proc/self/maps').read()"
    ran = _python(Path(sys.executable), hidden + RUNS.format(commands=[words], then=then), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert b"propensity_1h" in (tmp_path / "score.jsonl").read_bytes()


def test_the_trainer_trains_with_its_packages_alone(tmp_path):
    absent = {"faust", "aiohttp", "cramjam", "yarl", "prometheus_client", "streamlit", "chdb", "triton", "pynvml"}
    assert not {_normal(name) for name in absent} & _names("trainer")
    hidden = f"""
import sys, importlib.abc
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {absent!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
"""
    shop = str(tmp_path / "shop.jsonl")
    words = [["simulate", "--events", "15000", "--users", "300", "--out", shop]]
    words += [["train", "--events", shop, "--format", "cartcast", "--out", str(tmp_path / "shop")]]
    words[1] += ["--epochs", "1", "--hidden-size", "8"]
    words += [["retrain", "--help"]]
    then = "import cartcast.commands.retrain, model.evaluation.challenge, model.evaluation.report, sinks.stored"
    then += "; assert 'libcudnn_' not in open('/proc/self/maps').read()"
    ran = _python(Path(sys.executable), hidden + RUNS.format(commands=words, then=then), tmp_path)
    assert ran.returncode == 0, ran.stderr


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()
        self.wfile.write(b'{"status":"failed","checks":{"broker":"away"}}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def answering() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_health_check_says_in_one_line_what_is_wrong(answering):
    def check(url: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sys.executable, HEALTHCHECK, url], capture_output=True, text=True, check=False)

    assert check(f"{answering}/readyz").returncode == 0
    failing = check(f"{answering}/livez")
    assert failing.returncode == 1
    assert failing.stderr == f'{answering}/livez: 503 {{"status":"failed","checks":{{"broker":"away"}}}}\n'
    nobody = check("http://127.0.0.1:9/readyz")
    assert nobody.returncode == 1
    assert len(nobody.stderr.splitlines()) == 1


def _pins(path: Path) -> dict[str, set[str]]:
    return _pins_of(path.read_text())


def _pins_of(text: str) -> dict[str, set[str]]:
    """Return the hashes of each `name==version`; a package may be pinned for several platforms."""
    pins: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", text):
        if found := re.match(r"([a-z0-9._-]+)(\[[^]]*\])?==([^\s;\\]+)", block):
            pins[f"{found[1]}=={found[3]}"] = set(re.findall(r"sha256:\w+", block))
    return pins


def _names(name: str) -> set[str]:
    return {pin.partition("==")[0] for pin in _pins(REQUIREMENTS / f"{name}.txt")}


def _installed_bytes(name: str) -> dict[str, int]:
    """Return the bytes of a set's packages as this environment has them."""
    names, sizes = set(map(_normal, _names(name))), {}
    for distribution in distributions():
        if (package := _normal(distribution.name)) in names:
            kept = [
                file
                for file in distribution.files or ()
                if name not in {"worker-cpu", "trainer"} or "libcudnn_" not in file.name
            ]
            sizes[package] = sum(file.size or 0 for file in kept)
    return sizes


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _python(python: Path, program: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(directory)}
    command = [str(python), "-W", "ignore", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
