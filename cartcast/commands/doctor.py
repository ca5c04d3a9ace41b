"""`cartcast doctor`: checks everything that a worker and a sink need, one line each.

Each check imports what it asks with, so that it runs in an image that holds only a part of the packages.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from cartcast.extras import missing_package
from service.errors import CartcastError, RefusedError

if TYPE_CHECKING:
    from cartcast.settings import Settings

Check: TypeAlias = "Callable[[Settings], str]"
"""Returns what it found, or raises CartcastError that says what to do."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    ok: bool | None
    """None if it was skipped: what it asks with is not installed."""
    detail: str
    warns: bool = False
    """Whether it works, and should be otherwise."""


class DoubtfulError(CartcastError):
    """It works, and should be otherwise."""


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON object.")] = False,
) -> None:
    """Check settings, servers, topics, table and model, and whether workers and sink run and keep up.

    Prints one line for each, with what to do; fails if any of them does: if a worker or sink that ran before, or has
    records to read, does not run, if a stranger is in its group, or if records were deleted before they were read. What
    this installation has no packages for is skipped (in JSON: ok is null), and is no failure; a warning is none either.

    Example: cartcast doctor
    """
    findings = examine(context.obj)
    if as_json:
        print(
            json.dumps({each.check: {"ok": each.ok, "warns": each.warns, "detail": each.detail} for each in findings})
        )
    else:
        for finding in findings:
            print(f"{'warn' if finding.warns else STATUS[finding.ok]:<6}{finding.check:<14}{finding.detail}")
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def examine(config_file: Path | None) -> list[Finding]:
    """Make every check, but none that stands on one that did not pass."""
    from cartcast.settings import load_settings

    try:
        settings = load_settings(config_file)
    except CartcastError as failure:
        return [Finding("settings", ok=False, detail=str(failure))]
    findings = [Finding("settings", ok=True, detail=_from(config_file))]
    for name, check in CHECKS.items():
        if name in OF_RECOMMENDATIONS and not settings.recommendations.types:
            continue
        passed = {finding.check for finding in findings if finding.ok}
        if passed.issuperset(STANDS_ON.get(name, ())):
            findings.append(_made(name, check, settings))
    return findings


def _made(name: str, check: Check, settings: "Settings") -> Finding:
    try:
        return Finding(name, ok=True, detail=check(settings))
    except DoubtfulError as doubt:
        return Finding(name, ok=True, detail=str(doubt), warns=True)
    except CartcastError as failure:
        return Finding(name, ok=False, detail=str(failure))
    except ModuleNotFoundError as missing:
        package = missing_package(missing)
        if package is None:
            raise
        return Finding(name, ok=None, detail=f"not part of this installation: needs the package {package}")


def _from(config_file: Path | None) -> str:
    return f"from {config_file} and the environment" if config_file else "from the environment and defaults"


def _certificates(settings: "Settings") -> str:
    from service.tls import check_certificate

    files = {**settings.kafka.certificates(), **settings.clickhouse.certificates()}
    if not files:
        return "none is set"
    now = datetime.now(UTC)
    days = {path: (check_certificate(name, path) - now).days for name, path in files.items()}
    return ", ".join(f"{path} expires in {left} day{'' if left == 1 else 's'}" for path, left in days.items())


def _passwords(settings: "Settings") -> str:
    open_ones = []
    kafka, clickhouse = settings.kafka, settings.clickhouse
    if kafka.security_protocol == "SASL_PLAINTEXT" and kafka.sasl_mechanism == "PLAIN":
        open_ones.append("Kafka's, with SASL PLAIN: set kafka.security_protocol to SASL_SSL, or a SCRAM mechanism")
    if clickhouse.password.get_secret_value() and _is_open(clickhouse.url):
        open_ones.append(f"ClickHouse's, to {clickhouse.url}: use https://")
    if settings.dashboard.worker_token.get_secret_value() and _is_open(settings.dashboard.worker_url):
        open_ones.append(f"the workers' token, to {settings.dashboard.worker_url}: put TLS before the workers")
    if open_ones:
        raise DoubtfulError(f"readable on the network: {'; '.join(open_ones)}")
    return "none is readable on the network"


def _is_open(url: str) -> bool:
    """Whether what is sent there leaves this machine unencrypted."""
    from urllib.parse import urlsplit

    from service.http import is_loopback

    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _kafka(settings: "Settings") -> str:
    from streams.topics import count_brokers

    brokers = count_brokers(settings.kafka.client_config())
    return f"{settings.kafka.bootstrap_servers} answers, {brokers} broker{'s' if brokers > 1 else ''}"


def _topics(settings: "Settings") -> str:
    from streams.topic_configs import POLICY, differing_topics
    from streams.topics import check_topics

    topics, client_config = settings.kafka.topics, settings.kafka.client_config()
    recommends = bool(settings.recommendations.types)
    partitions = check_topics(client_config, topics, settings.kafka.wanted_partitions, recommends=recommends)
    found = f"those of {topics.prefix} exist, {partitions} partitions each"
    try:
        differing = differing_topics(client_config, topics, replication_factor=settings.kafka.replication_factor)
    except RefusedError as refused:  # workers and sinks need no right to ask
        return f"{found}; {refused}"
    if losing := [each.as_line() for each in differing if each.config == POLICY]:
        raise RefusedError(f"records are lost: {'; '.join(losing)}")
    return found


def _transactions(settings: "Settings") -> str:
    from streams.fenced import check_transactions

    check_transactions(settings.kafka.client_config(), settings.kafka.topics)
    return "Kafka lets workers write states"


def _access(settings: "Settings") -> str:
    from cartcast.pipeline_state import readers
    from streams.permissions import missing_permissions

    topics, recommends = settings.kafka.topics, bool(settings.recommendations.types)
    groups = [reader.group for reader in readers(topics, recommends=recommends)]
    if missing := missing_permissions(settings.kafka.client_config(), topics, groups, recommends=recommends):
        raise DoubtfulError(
            f"the brokers' ACLs do not let this user {', '.join(missing)}: allow them, if it runs workers and sinks "
            "(docs/security-settings.md)"
        )
    return "this user may read and write what workers and sinks need"


def _producers(settings: "Settings") -> str:
    from streams.misplaced import MISPLACED, sample
    from streams.topics import check_topics

    kafka = settings.kafka
    partitions = check_topics(kafka.client_config(), kafka.topics, kafka.wanted_partitions)
    misplaced, looked_at = sample(kafka.client_config(), kafka.topics.events, partitions)
    if misplaced:
        raise DoubtfulError(f"{misplaced} of the newest {looked_at} {MISPLACED}")
    return f"the newest {looked_at} events lie where their keys lead" if looked_at else "no event yet"


def _clickhouse(settings: "Settings") -> str:
    from service.clickhouse import connect

    client = connect(settings.clickhouse)
    version = client.server_version
    client.close_connections()
    return f"{settings.clickhouse.url} answers user {settings.clickhouse.user}, version {version}"


def _table(settings: "Settings") -> str:
    from sinks.table import TABLE, ClickHouseTable

    table = ClickHouseTable(settings.clickhouse)
    try:
        table.check()
    finally:
        table.close()
    return f"{settings.clickhouse.database}.{TABLE} exists"


def _checkpoint(settings: "Settings") -> str:
    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint

    directory = settings.worker.checkpoint or DEFAULT_CHECKPOINT
    return f"{load_checkpoint(directory).version} in {directory}"


def _horizons(settings: "Settings") -> str:
    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
    from service.clickhouse import connected
    from sinks.schema.horizons import missing_columns as missing_horizons
    from sinks.schema.horizons import model_columns
    from sinks.schema.own_columns import missing_columns
    from sinks.table import migrate_command

    config = load_checkpoint(settings.worker.checkpoint or DEFAULT_CHECKPOINT).model.config
    columns = model_columns(config.horizons, config.shop)
    if left_out := missing_horizons(settings.clickhouse, columns):
        raise RefusedError(
            f"the table has no column for the checkpoint's {', '.join(left_out)}, and leaves it out: "
            f"run `{migrate_command(left_out)}`"
        )
    with connected(settings.clickhouse, database=settings.clickhouse.database) as client:
        if missing := missing_columns(client, config.shop):
            raise RefusedError(
                f"the table has no column {' and '.join(missing)} for what the checkpoint's shop defines, and leaves "
                "it out: run `cartcast migrate --shop FILE`"
            )
    return f"{', '.join(column.name for column in columns)}: the table has a column for each"


def _next_items(settings: "Settings") -> str:
    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
    from streams.recommendations import check_recommendations

    chosen = settings.recommendations
    check_recommendations(chosen, load_checkpoint(settings.worker.checkpoint or DEFAULT_CHECKPOINT))
    interval = f", at most one a shopper in {chosen.every_seconds:g} s" if chosen.every_seconds else ""
    return f"{chosen.k} items at {', '.join(sorted(chosen.types))}{interval}"


def _device(settings: "Settings") -> str:
    from model.inference import select_device

    return f"{settings.worker.device} is {select_device(settings.worker.device)}"


def _group(name: str) -> Check:
    """Return the check of one reader."""

    def check(settings: "Settings") -> str:
        from contextlib import closing

        from cartcast.pipeline_state import PipelineGroups

        recommends = bool(settings.recommendations.types)
        groups = PipelineGroups(settings.kafka.client_config(), settings.kafka.topics, name, recommends=recommends)
        with closing(groups):
            (state,) = groups.read()
        if problems := state.problems():
            raise RefusedError("; ".join(problems))
        return state.as_line()

    return check


def _stored(settings: "Settings") -> str:
    from cartcast.pipeline_state import table_age_seconds

    age = table_age_seconds(settings.clickhouse)
    return "no row yet" if age is None else f"the newest row was stored {age:,.0f} s ago"


STATUS: Final[dict[bool | None, str]] = {True: "ok", False: "FAIL", None: "skip"}
CHECKS: Final[dict[str, Check]] = {
    "certificates": _certificates,
    "passwords": _passwords,
    "kafka": _kafka,
    "topics": _topics,
    "access": _access,
    "transactions": _transactions,
    "producers": _producers,
    "clickhouse": _clickhouse,
    "table": _table,
    "checkpoint": _checkpoint,
    "horizons": _horizons,
    "next_items": _next_items,
    "device": _device,
    "workers": _group("workers"),
    "sink": _group("sink"),
    "letters": _group("letters"),
    "recommended": _group("recommended"),
    "stored": _stored,
}
OF_RECOMMENDATIONS: Final = frozenset({"next_items", "recommended"})
"""Which checks make sense only where recommending on the topic is on."""
STANDS_ON: Final = {
    **dict.fromkeys(("topics", "transactions"), ("kafka",)),
    "table": ("clickhouse",),
    "horizons": ("table", "checkpoint"),
    "next_items": ("checkpoint",),
    **dict.fromkeys(("access", "producers", "workers", "sink", "letters", "recommended"), ("topics",)),
    "stored": ("table",),
}
"""Which checks make sense only if others passed."""
