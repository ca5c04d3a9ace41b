"""What `migrate` needs to be allowed: asked before anything is made, so that nothing is half made."""

from collections.abc import Sequence
from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError

ON_DATABASE: Final = ("CREATE DATABASE", "CREATE TABLE", "CREATE VIEW", "DROP VIEW", "ALTER", "SELECT", "INSERT")
ON_CLUSTER: Final = ("CLUSTER", "REMOTE")
"""For statements on every server, and for the distributed table; both are granted on everything or not at all."""

_SYNTAX_ERROR: Final = 62


def require_grants(client: Client, settings: ClickHouseSettings) -> None:
    """Raise RefusedError that says what to grant; a server too old to be asked is let pass."""
    wanted = [(f"`{settings.database}`.*", ON_DATABASE), ("*.*", ON_CLUSTER if settings.cluster else ())]
    missing = [(where, _missing(client, where, grants)) for where, grants in wanted]
    todo = [f"`GRANT {', '.join(grants)} ON {where} TO {settings.user}`" for where, grants in missing if grants]
    if todo:
        raise RefusedError(
            f"ClickHouse at {settings.url} does not let user {settings.user} make the tables of {settings.database}: "
            f"run {' and '.join(todo)} as an administrator"
        )


def _missing(client: Client, where: str, grants: Sequence[str]) -> list[str]:
    return [grant for grant in grants if not _has(client, where, grant)]


def _has(client: Client, where: str, grant: str) -> bool:
    try:
        return str(client.command(f"CHECK GRANT {grant} ON {where}", use_database=False)) == "1"
    except DatabaseError as failure:
        if getattr(failure, "code", None) == _SYNTAX_ERROR:  # older than CHECK GRANT
            return True
        raise
