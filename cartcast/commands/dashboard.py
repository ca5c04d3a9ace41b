"""`cartcast dashboard`: the pages that analysts open."""

import sys
from typing import Annotated

import typer

from cartcast.commands.shared.options import ClickHouseUrl, given, settings_of
from cartcast.local.signals import StopRequested, stop_signals_raise


def dashboard(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the pages. Default: 8501.")] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1; the pages ask for no password.")
    ] = None,
    url: ClickHouseUrl = None,
    database: Annotated[str | None, typer.Option(help="Database of the views.")] = None,
    worker_url: Annotated[str | None, typer.Option(help="A worker's look-up API, for explanations.")] = None,
) -> None:
    """Serve the pages over the views in ClickHouse until SIGTERM or Ctrl-C.

    They open without ClickHouse too, say what is missing, and go on by themselves when it is there.

    Example: cartcast dashboard --port 8501
    """
    from dashboard.server import address, check_port, serve
    from dashboard.settings import Config

    settings = settings_of(
        context,
        clickhouse=given(url=url, database=database),
        dashboard=given(port=port, host=host, worker_url=worker_url),
    )
    check_port(settings.dashboard)
    print(f"dashboard on {address(settings.dashboard)}; Ctrl-C stops it", file=sys.stderr, flush=True)
    try:
        with stop_signals_raise():
            serve(Config(settings.clickhouse, settings.dashboard, settings.kafka.pseudonyms))
    except StopRequested:
        pass
