"""`cartcast config`: what the settings are, and where they come from."""

import json
from typing import Annotated

import typer

from cartcast.commands.shared.app import App

app = App(help="Look at the settings.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Look at the settings."""


@app.command()
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tree as one JSON object.")] = False,
) -> None:
    """Print every setting with its value and where that comes from; secrets are masked.

    Sources, the strongest first: variables of the environment, files of CARTCAST_SECRETS_DIR, the YAML file, defaults.

    Example: cartcast config show --json
    """
    from cartcast.settings import load
    from cartcast.settings.view import as_lines, as_tree, shown_settings

    shown = shown_settings(load(context.obj))
    print(json.dumps(as_tree(shown)) if as_json else "\n".join(as_lines(shown)))
