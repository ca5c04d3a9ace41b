"""ClickHouse over TLS, with users: sink, migrations and dashboard get in, and say what to correct where they do not."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web

from cartcast.settings import load_settings
from dashboard.clickhouse import Database
from service.clickhouse import connect
from service.clickhouse_settings import ClickHouseSettings
from service.errors import CartcastError, RefusedError, UsageError
from sinks.schema.migrate import Migration, migrate
from tests.harness.certificates import KEY_PASSWORD, Authority
from tests.harness.ports import new_port
from tests.harness.sink_process import Engine
from tests.harness.tls_servers import Respond, tls_front

pytestmark = pytest.mark.integration

USER, PASSWORD = "analyst", "s3cret-password"
ONE_TABLE = [Migration(1, "0001_t", "CREATE TABLE IF NOT EXISTS t (a UInt8) ENGINE = MergeTree ORDER BY a")]

Front = Callable[..., str]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An engine that asks for user and password, without TLS."""
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "password").write_text(PASSWORD)
    user = ("--user", USER, "--password-file", str(directory / "password"))
    engine = Engine(directory / "engine", new_port(), *user)
    yield engine.url
    engine.stop()


@pytest.fixture
def front(guarded: str, authority: Authority) -> Iterator[Front]:
    """Put TLS before the engine; `days` is how long its certificate is good for."""
    with ExitStack() as opened:

        def open_front(
            name: str = "server", *, days: float = 30, client_ca: Path | None = None, instead: Respond | None = None
        ) -> str:
            certificate = authority.issue(name, days=days)
            return opened.enter_context(tls_front(guarded, certificate, client_ca=client_ca, instead=instead))

        yield open_front


@pytest.fixture
def settings(authority: Authority) -> Callable[..., ClickHouseSettings]:
    def settings(url: str, **others: object) -> ClickHouseSettings:
        values = {"user": USER, "password": PASSWORD, "ssl_ca_location": authority.ca, "database": "default"}
        return load_settings(clickhouse={"url": url, **values, **others}).clickhouse

    return settings


def asked_by_both(settings: ClickHouseSettings) -> None:
    """Ask as the sink does, and as the dashboard does; both give the same answer, or the same refusal."""
    client = connect(settings)
    client.close_connections()
    assert Database(settings).rows("SELECT 1 AS one") == [{"one": 1}]


def refusals(settings: ClickHouseSettings) -> list[str]:
    lines = []
    with pytest.raises(RefusedError) as by_sink:
        connect(settings)
    with pytest.raises(RefusedError) as by_dashboard:
        Database(settings).rows("SELECT 1")
    for refused in (by_sink, by_dashboard):
        lines.append(str(refused.value))
        assert "\n" not in lines[-1]
        assert PASSWORD not in lines[-1]
    return lines


def test_migrations_sink_and_dashboard_get_in_over_tls(front: Front, settings) -> None:
    encrypted = settings(front(), database="secured")
    assert migrate(encrypted, migrations=ONE_TABLE) in (["0001_t"], [])
    asked_by_both(encrypted)


def test_a_server_may_ask_for_the_clients_certificate(front: Front, settings, authority: Authority) -> None:
    certificate, key = authority.issue_client("shop")
    url = front(client_ca=authority.ca)
    shown = {"ssl_certificate_location": certificate, "ssl_key_location": key, "ssl_key_password": KEY_PASSWORD}
    asked_by_both(settings(url, **shown))
    for line in refusals(settings(url)):
        assert "CARTCAST_CLICKHOUSE__SSL_CERTIFICATE_LOCATION" in line
    for line in refusals(settings(url, **shown | {"ssl_key_password": "wrong"})):
        assert "CARTCAST_CLICKHOUSE__SSL_KEY_PASSWORD" in line


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")  # it is what is asked for
def test_a_certificate_of_an_unknown_authority_is_refused_unless_it_is_not_verified(
    front: Front, settings, tmp_path: Path
) -> None:
    url = front()
    for unknown in (Authority(tmp_path).ca, None):
        for line in refusals(settings(url, ssl_ca_location=unknown)):
            assert "no known authority has signed" in line
            assert "CARTCAST_CLICKHOUSE__SSL_CA_LOCATION" in line
    asked_by_both(settings(url, ssl_ca_location=None, ssl_verify=False))


def test_a_certificate_that_has_expired_is_named(front: Front, settings) -> None:
    url = front("expired", days=-1)
    for line in refusals(settings(url)):
        assert line.startswith(f"ClickHouse at {url} shows a certificate that has expired")


def test_a_wrong_password_and_a_server_without_tls_are_named(front: Front, settings, guarded: str) -> None:
    for line in refusals(settings(front(), password="wrong")):  # noqa: S106 - nobody's
        assert f"refuses user {USER}: correct CARTCAST_CLICKHOUSE__USER and CARTCAST_CLICKHOUSE__PASSWORD" in line
    for line in refusals(settings(guarded.replace("http:", "https:"))):
        assert "does not speak TLS there" in line


def test_a_file_of_authorities_that_is_missing_is_named(front: Front, settings, tmp_path: Path) -> None:
    with pytest.raises(CartcastError, match=r"nowhere.pem \(clickhouse.ssl_ca_location\) cannot be read"):
        connect(settings(front(), ssl_ca_location=tmp_path / "nowhere.pem"))


def test_a_user_who_may_not_create_tables_is_told_what_to_grant_and_nothing_is_made(front: Front, settings) -> None:
    made: list[bytes] = []

    def lacking(_: web.Request, body: bytes) -> web.Response | None:
        """As ClickHouse answers a user who has all but CREATE TABLE and CREATE VIEW."""
        if body.startswith((b"CHECK GRANT CREATE TABLE", b"CHECK GRANT CREATE VIEW")):
            return web.Response(text="0\n")
        if body.startswith(b"CREATE"):
            made.append(body)
        return None

    url = front(instead=lacking)
    with pytest.raises(RefusedError, match=f"run `GRANT CREATE TABLE, CREATE VIEW ON `other`.\\* TO {USER}`"):
        migrate(settings(url, database="other"), migrations=ONE_TABLE)
    assert made == []


def test_a_cluster_needs_two_grants_more(front: Front, settings) -> None:
    url = front(instead=lambda _, body: web.Response(text="0\n") if b" ON *.*" in body else None)
    with pytest.raises(RefusedError, match=f"run `GRANT CLUSTER, REMOTE ON \\*.\\* TO {USER}` as an administrator"):
        migrate(settings(url, cluster="shop"), migrations=ONE_TABLE)


def test_what_the_engine_says_of_a_missing_grant_is_passed_on(front: Front, settings) -> None:
    """Of a grant that no user of this engine has: the words are its own."""
    from service.clickhouse import failures  # noqa: PLC0415

    secured = settings(front())
    client = connect(secured)
    with pytest.raises(RefusedError, match=f"run `GRANT CREATE USER ON reader TO {USER}`"), failures(secured):
        client.command("CREATE USER reader")
    client.close_connections()


def test_user_and_password_in_the_address_are_refused_without_showing_them() -> None:
    with pytest.raises(UsageError, match="url holds a user or a password") as refused:
        load_settings(clickhouse={"url": f"https://shop:{PASSWORD}@clickhouse:8443"})
    assert PASSWORD not in str(refused.value)
