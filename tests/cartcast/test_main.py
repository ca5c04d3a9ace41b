"""The command as a user meets it: help with an example that works, one line for a failure, the right exit code."""

import itertools
import os
import pkgutil
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from rich.text import Text

import cartcast.commands
from cartcast.__main__ import app
from cartcast.commands import COMMANDS as LISTED
from cartcast.commands import PANELS
from cartcast.reference.cli_page import commands
from tests.harness.command import run_command

CONSOLE_SCRIPT = Path(sys.executable).with_name("cartcast")
LONG_RUNNING = {"worker", "sink", "dashboard"}
"""They log or serve; there is no result that `--json` could print."""
PRINT_JSON = {"forget"}
"""Their result is a JSON object anyway."""


COMMANDS = {" ".join(path): command for path, command in commands()}


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    ended = run_command(*arguments, environment=environment)
    return ended.status, ended.stdout, ended.stderr


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


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_does_and_shows_an_example(name, flag):
    code, out, err = run(*name.split(), flag)
    assert (code, err) == (0, "")
    assert re.match(rf"Usage: .*cartcast {name} ", out.lstrip())
    assert f"Example: cartcast {name}" in " ".join(out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_line_of_a_help_ends_where_the_next_word_has_no_room(name, monkeypatch):
    width = 80
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = run(*name.split(), "--help")
    lines = [line.strip() for line in out.partition("╭")[0].splitlines()]
    early = [a for a, b in itertools.pairwise(lines) if a and b and len(f" {a} {b.split()[0]} ") <= width]
    assert early == []


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_of_a_help_is_taken_for_markup(name):
    texts = [COMMANDS[name].help, *(getattr(parameter, "help", None) for parameter in COMMANDS[name].params)]
    assert [text for text in texts if text and Text.from_markup(text).plain != text] == []


def test_the_list_of_commands_says_of_each_what_its_file_says():
    group = typer.main.get_command(app)
    loaded = {name: group.commands[name].load().help.splitlines()[0] for name in LISTED}
    assert loaded == LISTED
    assert sorted(name for names in PANELS.values() for name in names) == sorted(LISTED)


def test_every_file_of_a_command_is_listed():
    files = {module.name.replace("_", "-") for module in pkgutil.iter_modules(cartcast.commands.__path__)}
    assert files - {"shared"} == LISTED.keys()


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


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - LONG_RUNNING - PRINT_JSON))
def test_a_command_with_a_result_can_print_it_as_json(name):
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_values_of_options_have_the_names_that_commands_give_them(name):
    _, out, _ = run(*name.split(), "-h")
    assert re.findall(r"<(?:bool|int|float|str|path|file|directory|list)\b", out) == []


@pytest.mark.parametrize(
    "arguments", [["--config", "no.yml", "config", "show"], ["config", "show", "--config", "no.yml"]]
)
def test_the_settings_file_may_be_named_before_a_command_and_behind_it(arguments):
    code, _, err = run(*arguments)
    assert (code, err.startswith("cartcast: the settings file no.yml cannot be read")) == (2, True)


def test_the_last_name_of_a_settings_file_counts(tmp_path):
    file = tmp_path / "shop.yml"
    file.write_text("kafka: {topic_prefix: mine}")
    _, out, _ = run("--config", "no.yml", "config", "show", "--config", str(file))
    assert re.search(r"kafka.topic_prefix +mine ", out)


def test_a_settings_file_to_begin_with_is_accepted_and_never_replaced_unasked(tmp_path):
    file = tmp_path / "cartcast.yml"
    assert run("init", str(file))[0] == 0
    assert run("config", "show", "--config", str(file))[0] == 0
    file.write_text("mine")
    code, _, err = run("init", str(file))
    assert (code, file.read_text()) == (2, "mine")
    assert "--force" in err
    assert run("init", str(file), "--force")[0] == 0
    assert run("init", str(tmp_path / "none" / "cartcast.yml"))[0] == 1


def test_help_lists_every_command_in_its_group():
    code, out, _ = run("--help")
    assert code == 0
    for panel, names in PANELS.items():
        shown = out.partition(f" {panel} ")[2].partition("╰")[0]
        assert [name for name in names if f"\n│ {name} " not in shown] == []


def test_help_is_coloured_where_there_is_a_terminal(monkeypatch):
    monkeypatch.setattr("typer.rich_utils.FORCE_TERMINAL", True)
    _, out, _ = run("--help")
    assert "\x1b[" in out


def test_a_shell_completes_commands_and_options():
    for line, word, found in (("cartcast rep", "1", "replay"), ("cartcast dead-letters rep", "2", "replay"),
                              ("cartcast score --chec", "2", "--checkpoint")):  # fmt: skip
        asked = {"_CARTCAST_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": word}
        completed = subprocess.run(
            [CONSOLE_SCRIPT], env={**os.environ, **asked}, capture_output=True, text=True, check=True
        )
        assert completed.stdout.split() == [found]


def test_no_arguments_are_the_help_and_wrong_usage():
    code, out, err = run()
    assert (code, err) == (2, "")
    assert "Usage: " in out


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
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(arguments):
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.match(r"cartcast: .*: see `.*cartcast.* --help`\n$", err)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--config", "/nowhere.yaml", "topics", "create"], "/nowhere.yaml"),
        (["replay", "a.csv", "--format", "taobao", "--rate", "1", "--speed", "1"], "--speed"),
        (["replay", "a.csv", "--format", "fly"], "--format fly"),
    ],
)
def test_options_and_settings_that_make_no_sense_are_one_line_and_exit_with_2(arguments, names):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("cartcast: ")
    assert err.count("\n") == 1
    assert names in err


@pytest.mark.parametrize("name", ["topics create", "migrate", "worker", "sink", "dashboard"])
def test_a_wrong_setting_is_one_line_and_exits_with_2_whatever_the_command(monkeypatch, name):
    monkeypatch.setenv("CARTCAST_KAFKA__PARTITIONS", "many")
    code, out, err = run(*name.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "kafka.partitions" in err


def test_a_broker_that_does_not_answer_is_one_line_and_exits_with_1(monkeypatch, closed_port):
    monkeypatch.setattr("service.kafka.TIMEOUT_SECONDS", 0.3)
    monkeypatch.setenv("CARTCAST_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{closed_port}")
    code, out, err = run("topics", "create")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"127.0.0.1:{closed_port}" in err
    assert "cartcast up" in err


def test_a_failure_names_the_flag_if_a_flag_was_given(monkeypatch, closed_port):
    monkeypatch.setattr("service.kafka.TIMEOUT_SECONDS", 0.3)
    where = f"127.0.0.1:{closed_port}"
    _, _, err = run("topics", "list", "--bootstrap-servers", where)
    assert err.endswith("or correct --bootstrap-servers\n")
    _, _, err = run("topics", "list", CARTCAST_KAFKA__BOOTSTRAP_SERVERS=where)
    assert err.endswith("or correct CARTCAST_KAFKA__BOOTSTRAP_SERVERS\n")
    _, _, err = run("migrate", "--url", f"http://{where}")
    assert err.endswith("or correct --url\n")


def test_a_missing_checkpoint_is_one_line_and_exits_with_1(tmp_path):
    code, out, err = run("worker", CARTCAST_WORKER__CHECKPOINT=str(tmp_path / "nowhere"))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert str(tmp_path / "nowhere") in err
    assert "cartcast train" in err


@pytest.mark.parametrize("name", ["topics create", "sink"])
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
def test_security_settings_that_cannot_work_are_one_line(name, environment, status, told):
    code, out, err = run(*name.split(), **environment)
    assert (code, out, err.count("\n")) == (status, "", 1)
    assert told in err
