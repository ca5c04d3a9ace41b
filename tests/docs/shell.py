"""Shell commands of the documents, looked at without running them: do command, option, setting and target exist?"""

import re
import shlex
import subprocess
from collections.abc import Iterator

import typer.main
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from cartcast.__main__ import LazyCommand, app
from cartcast.settings import Settings
from service.errors import CartcastError
from tests.docs.fences import ROOT

PROGRAMS = {
    ".", "awk", "bash", "cat", "cd", "chmod", "cp", "curl", "cut", "diff", "docker", "echo", "gh", "git", "grafana",
    "grep", "head", "helm", "jq", "kafka-configs", "kafka-consumer-groups", "kill", "kind", "kubectl", "kustomize",
    "ls", "mkdir", "mv", "openssl", "pip", "printf", "prometheus", "promtool", "python", "python3", "rm", "sed",
    "set", "sh", "sha256sum", "sleep", "sort", "source", "systemctl", "tail", "tar", "tee", "test", "true", "umask",
    "uv", "wait", "wc", "xargs",
}  # fmt: skip
"""Other people's programs, whose options are not ours to check."""
ROOT_COMMAND = typer.main.get_command(app)
_OPERATORS = {"&&", "||", ";", "|", "&", "(", ")", ";;", "|&"}
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


class UnknownError(AssertionError):
    """A document names something that does not exist."""


def check_script(script: str) -> None:
    """Raise UnknownError if a line of a shell script would fail for reasons that can be known before it runs."""
    spoken = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)  # noqa: S607
    if spoken.returncode:
        raise UnknownError(f"not bash: {spoken.stderr.strip()}")
    for words in commands_of(script):
        check_command(words)


def commands_of(script: str) -> Iterator[list[str]]:
    """Yield the words of each simple command."""
    script = re.sub(r"<<-?\s*'?(\w+)'?.*?^\1$", "", script, flags=re.DOTALL | re.MULTILINE)
    for inner in _SUBSTITUTION.findall(script):
        yield from commands_of(inner)
    script = _SUBSTITUTION.sub("substituted", script).replace("\\\n", " ")
    for line in _whole_lines(script):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words = list[str]()
        for word in lexer:
            if word in _OPERATORS:
                yield words
                words = []
            else:
                words.append(word)
        yield words


def check_command(words: list[str]) -> None:
    """Raise UnknownError for a command, an option, a setting or a target that does not exist."""
    words = _without_redirections(words)
    while words and (_ASSIGNMENT.fullmatch(words[0]) or words[0] in {"export", "env", "exec", "time", "sudo"}):
        check_variable(words[0].partition("=")[0])
        words = words[1:]
    if not words:
        return
    program = words[0].removeprefix(".venv/bin/")
    if program == "cartcast":
        check_cartcast(words[1:])
    elif program == "make":
        _check_targets(words[1:])
    elif program.rpartition("/")[2] not in PROGRAMS:
        raise UnknownError(f"what is {program}? If it is a program, add it to tests/docs/shell.py")


def check_cartcast(arguments: list[str]) -> None:
    """Parse the arguments as `cartcast` does, without running anything."""
    if arguments[:1] == ["--config"]:
        arguments = arguments[2:]
    if arguments in (["--help"], ["--version"]):
        return
    name, command = "", ROOT_COMMAND
    while hasattr(command, "commands"):
        if not arguments or arguments[0] not in command.commands:
            raise UnknownError(f"there is no command `cartcast{name} {' '.join(arguments[:1])}`")
        name, command, arguments = f"{name} {arguments[0]}", _loaded(command.commands[arguments[0]]), arguments[1:]
    if "--help" in arguments:
        return
    try:
        command.make_context(name.strip(), list(arguments))
    except (TyperException, CartcastError) as failure:
        raise UnknownError(f"`cartcast{name} {' '.join(arguments)}`: {failure}") from None


def check_mention(text: str) -> None:
    """Check a command that prose mentions, which may leave out what it needs."""
    arguments = text.split()[1:]
    name, command = "", ROOT_COMMAND
    while hasattr(command, "commands") and arguments and not arguments[0].startswith(("-", ".", "COMMAND")):
        if arguments[0] not in command.commands:
            raise UnknownError(f"there is no command `cartcast{name} {arguments[0]}`")
        name, command, arguments = f"{name} {arguments[0]}", _loaded(command.commands[arguments[0]]), arguments[1:]
    known = {"--help", "--config", "--version"} | {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in arguments:
        if word.startswith("--") and word.partition("=")[0] not in known:
            raise UnknownError(f"`cartcast{name}` has no option {word}")


def _loaded(command: TyperCommand | TyperGroup) -> TyperCommand | TyperGroup:
    return command.load() if isinstance(command, LazyCommand) else command


def check_variable(name: str) -> None:
    """Raise UnknownError if a variable looks like a setting and is none."""
    if name.startswith("CARTCAST_") and "__" in name:
        check_setting(name.removeprefix("CARTCAST_").lower().replace("__", "."))


def check_setting(path: str) -> None:
    """Raise UnknownError unless `branch.field` is in the tree; a secret may also be named by its file, `field_file`."""
    branch, _, field = path.partition(".")
    known = Settings.model_fields.get(branch)
    fields = getattr(known.annotation, "model_fields", {}) if known is not None else {}
    secret = fields.get(field.removesuffix("_file"))
    if field not in fields and (secret is None or "SecretStr" not in str(secret.annotation)):
        raise UnknownError(f"there is no setting {path}")


def _check_targets(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for word in words:
        if not _ASSIGNMENT.fullmatch(word) and word not in targets:
            raise UnknownError(f"the Makefile has no target {word}")


def _without_redirections(words: list[str]) -> list[str]:
    kept, skip = list[str](), False
    for word in words:
        if skip:
            skip = False
        elif re.fullmatch(r"[<>]+", word):
            skip = True
        else:
            kept.append(word)
    return kept


def _whole_lines(script: str) -> Iterator[str]:
    """Yield lines, joined where a quotation goes on in the next one."""
    joined = ""
    for line in script.splitlines():
        joined = f"{joined}\n{line}" if joined else line
        try:
            shlex.split(joined, comments=True)
        except ValueError:
            continue
        yield joined
        joined = ""
