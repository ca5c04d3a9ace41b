"""The command as a user meets it: help with an example that works, one line for a failure, the right exit code."""

import os
import re
import shlex
import socket
import subprocess
import sys

import pytest
import typer.main

from cartcast.__main__ import app, main

ROOT = typer.main.get_command(app)
LONG_RUNNING = {"worker", "sink", "dashboard"}
"""They log or serve; there is no result that `--json` could print."""


def leaves(command, *path: str):
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from leaves(child, *path, name)
    else:
        yield path, command


COMMANDS = {" ".join(path): command for path, command in leaves(ROOT)}


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process; return its exit code and what it wrote to stdout and stderr."""

    def run(*arguments: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["cartcast", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        written = capsys.readouterr()
        return end.value.code, written.out, written.err

    return run


def cartcast(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cartcast", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_the_promised_commands_exist():
    assert COMMANDS.keys() >= {
        "demo", "up", "topics create", "migrate", "worker", "sink", "dashboard", "replay", "simulate", "train",
        "evaluate", "doctor",
    }  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_does_and_shows_an_example(run, name):
    code, out, err = run(*name.split(), "--help")
    assert (code, err) == (0, "")
    assert re.match(rf"Usage: .*cartcast {name} ", out.lstrip())
    assert f"Example: cartcast {name}" in " ".join(out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_accepted_by_it(name):
    example = " ".join((COMMANDS[name].callback.__doc__ or "").split()).split("Example: ")[1]
    arguments = shlex.split(example)[1 + len(name.split()) :]
    assert COMMANDS[name].make_context(name, arguments).params


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name):
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option" and "--help" not in parameter.opts:
            assert parameter.help, parameter.opts


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - LONG_RUNNING))
def test_a_command_with_a_result_can_print_it_as_json(name):
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


def test_help_lists_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n  {name.split()[0]} " in out for name in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["topics", "fly"],
        ["demo", "--fly"],
        ["demo", "--events", "many"],
        ["demo", "--events", "0"],
        ["replay"],
        ["topics", "create", "--partitions", "0"],
        ["simulate", "--users", "-1"],
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Error: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--config", "/nowhere.yaml", "topics", "create"], "/nowhere.yaml"),
        (["replay", "a.csv", "--format", "taobao", "--rate", "1", "--speed", "1"], "--speed"),
        (["replay", "a.csv", "--format", "fly"], "--format fly"),
    ],
)
def test_options_and_settings_that_make_no_sense_are_one_line_and_exit_with_2(run, arguments, names):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("cartcast: ")
    assert err.count("\n") == 1
    assert names in err


@pytest.mark.parametrize("name", ["topics create", "migrate", "worker", "sink", "dashboard"])
def test_a_wrong_setting_is_one_line_and_exits_with_2_whatever_the_command(run, monkeypatch, name):
    monkeypatch.setenv("CARTCAST_KAFKA__PARTITIONS", "many")
    code, out, err = run(*name.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "kafka.partitions" in err


def test_a_broker_that_does_not_answer_is_one_line_and_exits_with_1(run, monkeypatch, closed_port):
    monkeypatch.setattr("streams.topics.TIMEOUT_SECONDS", 0.3)
    monkeypatch.setenv("CARTCAST_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{closed_port}")
    code, out, err = run("topics", "create")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"127.0.0.1:{closed_port}" in err
    assert "cartcast up" in err


def test_a_missing_checkpoint_is_one_line_and_exits_with_1(tmp_path):
    ended = cartcast("worker", CARTCAST_WORKER__CHECKPOINT=str(tmp_path / "nowhere"))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert str(tmp_path / "nowhere") in ended.stderr
    assert "cartcast train" in ended.stderr


@pytest.mark.parametrize(
    ("environment", "status", "told"),
    [
        ({"CARTCAST_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}, 2, "sasl_username is empty"),
        (
            {"CARTCAST_KAFKA__SECURITY_PROTOCOL": "SSL", "CARTCAST_KAFKA__SSL_CA_LOCATION": "/nowhere.pem"},
            1,
            "/nowhere.pem (kafka.ssl_ca_location) cannot be read (no such file or directory)",
        ),
    ],
)
def test_security_settings_that_cannot_work_are_one_line(run, monkeypatch, environment, status, told):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, out, err = run("topics", "create")
    assert (code, out, err.count("\n")) == (status, "", 1)
    assert told in err


def test_the_sink_says_so_too():
    environment = {"CARTCAST_KAFKA__SECURITY_PROTOCOL": "SSL", "CARTCAST_KAFKA__SSL_CA_LOCATION": "/nowhere.pem"}
    ended = cartcast("sink", **environment)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "/nowhere.pem (kafka.ssl_ca_location) cannot be read" in ended.stderr
