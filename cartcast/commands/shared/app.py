"""Typer applications whose help loads only what it shows, and whose commands all take `--config`.

For any help, `typer.rich_utils` imports Rich's renderers of Markdown and of tracebacks, and with them parsers of
Markdown and of source code: half of the time that a help takes. Help is in Rich's own markup here, and a traceback is
Python's (`pretty_exceptions_enable=False`).
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup, TyperOption

Function = TypeVar("Function", bound=Callable[..., Any])

MARKUP: Final = "rich"
_SINGLE_BREAK: Final = re.compile(r"(?<!\n)\n(?!\n)")
_UNUSED: Final = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}
"""What typer imports and nothing here shows: by module, the class."""


ConfigFile = Annotated[
    Path | None, typer.Option(help="YAML file of settings (see also CARTCAST_CONFIG).", metavar="FILE")
]
_METAVARS: Final = {bool: "", int: "N", float: "NUMBER", Path: "FILE", str: "TEXT"}
"""What a help calls an option's value, unless the option says it; a flag has none."""


class _Help:
    """What the help of commands and of groups has in common."""

    def get_help_option(self, ctx: Any) -> Any:  # noqa: ANN401 - typer exports no type for it
        """Return the option that prints the help."""
        option: Any = super().get_help_option(ctx)  # type: ignore[misc] # of the class that this one stands before
        _name_values([option])
        return option

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Print the help, its paragraphs as wide as the terminal: typer keeps the line breaks of all but the first."""
        _import_rich_utils()
        command: Any = self
        command.help = _SINGLE_BREAK.sub(" ", inspect.cleandoc(command.help or ""))
        super().format_help(ctx, formatter)  # type: ignore[misc]


class Command(_Help, TyperCommand):
    """A command with such a help."""

    def __init__(self, name: str | None, *, params: list[Any] | None = None, **attributes: Any) -> None:  # noqa: ANN401
        if params is not None:
            params = [*params, _config_option()]
            _name_values(params)
        super().__init__(name, params=params, **attributes)


class Group(_Help, TyperGroup):
    """A group of commands with such a help."""

    def __init__(self, *, params: list[Any] | None = None, **attributes: Any) -> None:  # noqa: ANN401
        _name_values(params or [])
        super().__init__(params=params, **attributes)


class App(typer.Typer):
    """A typer application of such commands."""

    def __init__(self, *, cls: type[Group] = Group, **attributes: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(cls=cls, rich_markup_mode=MARKUP, **attributes)

    def command(self, name: str | None = None, **attributes: Any) -> Callable[[Function], Function]:  # noqa: ANN401
        """Return the decorator of a command."""
        return super().command(name, cls=Command, **attributes)


@cache
def _config_option() -> TyperOption:
    """Return `--config` as an option of a command itself, so that it may stand behind the command's name too."""
    alone = typer.Typer(add_completion=False)

    @alone.command()
    def command(config: ConfigFile = None) -> None: ...

    option = next(each for each in typer.main.get_command(alone).params if isinstance(each, TyperOption))
    option.expose_value = False
    option.callback = _keep_config
    return option


def _keep_config(context: Any, _option: Any, config: Path | None) -> Path | None:  # noqa: ANN401
    if config is not None:
        context.obj = config
    return config


def _name_values(params: list[Any]) -> None:
    """Call values FILE or N, as commands do, and not by Python's types; an argument has its name already."""
    for each in params:
        if not isinstance(each, TyperOption):
            each.display_type_rich = lambda **_: ""
        elif each.metavar is None and not each.type_descriptor.is_choice:
            each.metavar = _METAVARS.get(_value_type(each.type_descriptor.annotation))


def _value_type(annotation: Any) -> Any:  # noqa: ANN401
    """Return the type of a value of an option, which may take several."""
    return get_args(annotation)[0] if get_origin(annotation) is list else annotation


def _import_rich_utils() -> None:
    with _absent_renderers():
        import_module("typer.rich_utils")


@contextmanager
def _absent_renderers() -> Iterator[None]:
    """Inside, an import of an unused renderer gets an empty class; who imports it later gets the real one."""
    absent = {name: class_name for name, class_name in _UNUSED.items() if name not in sys.modules}
    for name, class_name in absent.items():
        module = ModuleType(name)
        setattr(module, class_name, type(class_name, (), {}))
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
