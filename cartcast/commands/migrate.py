"""`cartcast migrate`: the ClickHouse database, its table and views."""

import json
from typing import Annotated

import typer

from cartcast.commands.shared.options import ClickHouseUrl, JsonLine, ShopFile, given, horizon_names, settings_of
from cartcast.commands.shared.shop_file import read_shop


def migrate(
    context: typer.Context,
    url: ClickHouseUrl = None,
    database: Annotated[str | None, typer.Option(help="Database of the table and views; made if missing.")] = None,
    horizons: Annotated[
        str | None, typer.Option(help="Columns for a model's horizons, by commas, such as session,30m,7d.")
    ] = None,
    shop_file: ShopFile = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print the SQL and run nothing.")] = False,
    as_json: JsonLine = False,
) -> None:
    """Create or update the ClickHouse table and views; safe to repeat.

    The table has columns for the horizons session, 1h and 24h; of others it keeps what --horizons has named, and of a
    shop's own types, attributes, goals and money what --shop defines. With the setting clickhouse.cluster, tables are
    replicated and scores sharded on every server of that cluster.

    Example: cartcast migrate --url http://127.0.0.1:8123
    """
    from service.logging import configure_logging
    from sinks.schema.horizons import add_columns, model_columns
    from sinks.schema.migrate import migrate as apply_migrations
    from sinks.schema.migrate import script
    from sinks.schema.own_columns import add_own_columns

    shop, names = read_shop(shop_file), horizon_names(horizons) if horizons is not None else ()
    columns = model_columns((*names, *shop.goals), shop)
    settings = settings_of(context, clickhouse=given(url=url, database=database))
    configure_logging(settings.log)
    if only_print:
        print(script(settings.clickhouse, columns, shop), end="")
        return
    applied = apply_migrations(settings.clickhouse)
    applied += [f"column {column}" for column in add_columns(settings.clickhouse, columns)]
    applied += [f"column {column}" for column in add_own_columns(settings.clickhouse, shop)]
    for name in applied:
        print(f"applied {name}")
    print(f"database {settings.clickhouse.database} at {settings.clickhouse.url} is up to date")
    if as_json:
        print(json.dumps({"database": settings.clickhouse.database, "applied": applied}))
