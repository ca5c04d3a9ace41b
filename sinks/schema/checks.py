"""What must be true before anything is made: the settings fit what is there, and the user may do it."""

from collections.abc import Sequence
from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from service.clickhouse_settings import ClickHouseSettings
from service.errors import RefusedError
from sinks.table import TABLE

MACROS: Final = ("shard", "replica")
_CLUSTERS: Final = "SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster"
_SERVERS: Final = "SELECT count() FROM system.clusters WHERE cluster = {cluster:String}"
_MACROS: Final = (
    "SELECT count() FROM clusterAllReplicas({cluster:Identifier}, system.macros) WHERE macro IN {macros:Array(String)}"
)
_ENGINE: Final = (
    "SELECT engine, extract(engine_full, 'Distributed\\\\(.?([A-Za-z0-9_.-]+)') FROM system.tables "
    "WHERE database = {database:String} AND name = {name:String}"
)


def check_layout(client: Client, settings: ClickHouseSettings) -> None:
    """Return if tables can be made, or go on, as the settings have it; raises RefusedError with what to do."""
    _check_database(client, settings)
    if settings.cluster:
        _check_cluster(client, settings)


def _check_database(client: Client, settings: ClickHouseSettings) -> None:
    """Refuse a database that was made for one server where a cluster is meant, and the other way round."""
    parameters = {"database": settings.database, "name": TABLE}
    for engine, cluster in client.query(_ENGINE, parameters=parameters).result_rows:
        made_for = str(cluster) if engine == "Distributed" else ""
        if made_for != settings.cluster:
            remedy = (
                f"set CARTCAST_CLICKHOUSE__CLUSTER={made_for}" if made_for else "set no CARTCAST_CLICKHOUSE__CLUSTER"
            )
            raise RefusedError(
                f"database {settings.database} at {settings.url} was made for {_of(made_for)}, but clickhouse.cluster "
                f"says {_of(settings.cluster)}: {remedy}, "
                "or use another CARTCAST_CLICKHOUSE__DATABASE"
            )


def _of(cluster: str) -> str:
    return f"cluster {cluster}" if cluster else "one server"


def _check_cluster(client: Client, settings: ClickHouseSettings) -> None:
    parameters = {"cluster": settings.cluster, "macros": list(MACROS)}
    known = [str(name) for (name,) in client.query(_CLUSTERS).result_rows]
    if settings.cluster not in known:
        raise RefusedError(
            f"ClickHouse at {settings.url} knows no cluster {settings.cluster}, only {', '.join(known) or 'none'}: "
            "correct CARTCAST_CLICKHOUSE__CLUSTER, or define it under remote_servers"
        )
    servers = int(str(client.command(_SERVERS, parameters=parameters)))
    macros = int(str(client.command(_MACROS, parameters=parameters)))
    if macros < len(MACROS) * servers:
        raise RefusedError(
            f"not every server of cluster {settings.cluster} has the macros {' and '.join(MACROS)}: "
            "define them in each server's configuration, the replica's its own in the cluster"
        )


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
