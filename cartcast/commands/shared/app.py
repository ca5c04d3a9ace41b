"""Typer applications whose help loads only what it shows.

For any help, `typer.rich_utils` imports Rich's renderers of Markdown and of tracebacks, and with them parsers of
Markdown and of source code: half of the time that a help takes. Help is in Rich's own markup here, and a traceback is
Python's (`pretty_exceptions_enable=False`).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Final, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

Function = TypeVar("Function", bound=Callable[..., Any])

MARKUP: Final = "rich"
_UNUSED: Final = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}
"""What typer imports and nothing here shows: by module, the class."""


class Command(TyperCommand):
    """A command with such a help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer exports no type for it
        """Print the help."""
        _import_rich_utils()
        super().format_help(ctx, formatter)


class Group(TyperGroup):
    """A group of commands with such a help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Print the help."""
        _import_rich_utils()
        super().format_help(ctx, formatter)


class App(typer.Typer):
    """A typer application of such commands."""

    def __init__(self, *, cls: type[Group] = Group, **attributes: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(cls=cls, rich_markup_mode=MARKUP, **attributes)

    def command(self, name: str | None = None, **attributes: Any) -> Callable[[Function], Function]:  # noqa: ANN401
        """Return the decorator of a command."""
        return super().command(name, cls=Command, **attributes)


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
