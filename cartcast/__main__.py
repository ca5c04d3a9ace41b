"""The `cartcast` command: assembles the commands and turns failures into one line and an exit code."""

import sys
from pathlib import Path

if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parents[1]):
    del sys.path[0]  # `python -m` puts the current folder there, whose files must not pass for modules

from importlib import import_module
from typing import Annotated, Any, Final, cast

import typer
import typer.main

import cartcast
from cartcast.commands import COMMANDS, PANELS
from cartcast.commands.shared.app import MARKUP, App, Command, ConfigFile, Group
from cartcast.extras import missing_extra
from service.errors import CartcastError, UsageError

_HELP: Final = "The probability that a shopper buys, scored at every event of a stream."


class LazyCommand(Command):
    """A command as the list of commands shows it; its file is imported when it is asked for."""

    def __init__(self, name: str, panel: str) -> None:
        super().__init__(name, help=COMMANDS[name], rich_help_panel=panel, rich_markup_mode=MARKUP)

    def load(self) -> Command | Group:
        """Return the command itself."""
        name = str(self.name)
        attribute = name.replace("-", "_")
        module = import_module(f"cartcast.commands.{attribute}")
        alone = App(add_completion=False)
        if hasattr(module, "app"):
            alone.add_typer(module.app, name=name)
        else:
            alone.command(name)(getattr(module, attribute))
        return cast("Command | Group", typer.main.get_group(alone).commands[name])

    def make_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - typer exports no type for it
        return self.load().make_context(*args, **kwargs)


class Commands(Group):
    """All commands, of which none is imported yet."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(**attributes)
        for panel, names in PANELS.items():
            for name in names:
                self.add_command(LazyCommand(name, panel))


app = App(
    name="cartcast",
    cls=Commands,
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"cartcast {cartcast.__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: ConfigFile = None,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keep what every command shares."""
    context.obj = config


def main() -> None:
    """Run the command: 0 done, 1 failed, 2 wrong usage."""
    try:
        status = app(standalone_mode=False)
    except UsageError as failure:
        _end(str(failure), 2)
    except CartcastError as failure:
        _end(str(failure), 1)
    except typer.TyperException as failure:
        _end(_in_one_line(failure), failure.exit_code)
    except typer.Abort:
        _end("aborted", 1)
    except ModuleNotFoundError as missing:
        line = missing_extra(missing, sys.argv[1:])
        if line is None:
            raise
        _end(line, 1)
    else:
        sys.exit(status if isinstance(status, int) else 0)


def _in_one_line(failure: typer.TyperException) -> str:
    """Return what is wrong with the command line, and how to ask for help; empty if help was printed already."""
    what, context = " ".join(failure.format_message().split()), getattr(failure, "ctx", None)
    if not what or context is None:
        return what
    return f"{what.rstrip('.')}: see `{context.command_path} --help`"


def _end(line: str, status: int) -> None:
    if line:
        options = sys.modules.get(
            "cartcast.commands.shared.options"
        )  # of a command that got so far as to have settings
        print(f"cartcast: {options.naming_flags(line) if options else line}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
