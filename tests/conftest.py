"""What every kind of test shares: one real Kafka and one real ClickHouse engine a session, started when first used."""

import secrets
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from cartcast.local.stack import LocalStack, local_stack


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The local stack on free ports; a machine that cannot start it fails the tests, it does not skip them."""
    terminal = request.config.pluginmanager.getplugin("terminalreporter")

    def report(line: str) -> None:
        terminal.ensure_newline()
        terminal.write_line(f"[stack] {line}")

    directory = tmp_path_factory.mktemp("stack")
    with_clickhouse = find_spec("cartcast.local.clickhouse_server") is not None
    with local_stack(directory, report, with_clickhouse=with_clickhouse, preferred_ports=False) as running:
        yield running


@pytest.fixture(scope="session")
def kafka(stack: LocalStack) -> str:
    """Bootstrap servers of the session's Kafka."""
    return stack.bootstrap_servers


@pytest.fixture(scope="session")
def clickhouse(stack: LocalStack) -> str:
    """URL of the session's ClickHouse engine."""
    return stack.clickhouse_url


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test uses, for topics, consumer groups and databases."""
    return f"t{secrets.token_hex(4)}"
