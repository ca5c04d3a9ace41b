"""Every command with its options, as its `--help` has them: the page docs/reference/cli.md."""

from collections.abc import Iterator
from typing import Any, Final

import typer.main

from cartcast.__main__ import LazyCommand, app

_INTRODUCTION: Final = """# Commands

What `cartcast COMMAND --help` says. Written by `make reference` from the commands themselves; do not edit.

`--config FILE` names a YAML file of settings, before a command or behind it: `cartcast worker --config cartcast.yml`.
`cartcast --version` prints the version. Exit codes: 0 done, 1 failed (one line says what, where and what to do),
2 wrong usage, 130 interrupted. `cartcast --install-completion` teaches your shell to complete commands and options.
"""
_EXAMPLE: Final = "Example: "


def page() -> str:
    """Return the page."""
    return "\n".join([_INTRODUCTION, *(_section(" ".join(path), each) for path, each in commands())])


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that runs something, with the words that name it."""
    yield from _below(typer.main.get_command(app))


def _below(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - typer names no type
    for name, child in getattr(command, "commands", {}).items():
        yield from _below(child.load() if isinstance(child, LazyCommand) else child, *path, name)
    if path and not hasattr(command, "commands"):
        yield path, command


def _section(name: str, command: Any) -> str:  # noqa: ANN401
    text, example = _described(command.help)
    rows = [f"| `{_in_a_cell(option)}` | {_in_a_cell(meaning)} |" for option, meaning in _parameters(name, command)]
    table = ["| option | meaning |", "| --- | --- |", *rows, ""] if rows else []
    return "\n".join([f"## cartcast {name}", "", text, "", "```bash", example, "```", "", *table])


def _described(help_text: str) -> tuple[str, str]:
    """Return what a command says of itself, and its example."""
    text, _, example = help_text.rpartition(_EXAMPLE)
    return text.strip(), " ".join(example.split())


def _parameters(name: str, command: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    context = command.make_context(name, [], resilient_parsing=True)
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None and not {"--help", "--config"} & set(parameter.opts):
            yield record


def _in_a_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
