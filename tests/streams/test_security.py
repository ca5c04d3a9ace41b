"""What Faust's consumer is given: the same trust and the same credentials as librdkafka, tokens that are kept."""

import ssl
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError

from service.errors import RefusedError
from service.kafka import ssl_context
from streams.security import OidcTokens
from tests.harness.certificates import KEY_PASSWORD, Authority
from tests.harness.clock import Clock
from tests.harness.tls_servers import token_endpoint

SECRET = "s3cret"  # noqa: S105 - nobody's


def client(url: str, ca: Path, secret: str = SECRET) -> dict[str, str]:
    return {
        "sasl.oauthbearer.token.endpoint.url": url,
        "sasl.oauthbearer.client.id": "shop",
        "sasl.oauthbearer.client.secret": secret,
        "https.ca.location": str(ca),
    }


async def test_a_token_is_kept_until_most_of_its_life_is_over(tmp_path: Path) -> None:
    authority, clock = Authority(tmp_path), Clock()
    with token_endpoint("shop", SECRET, authority.issue("tokens")) as url:
        tokens = OidcTokens(client(url, authority.ca), clock)
        first = await tokens.token()
        clock.now += 479.0  # of 600
        assert await tokens.token() == first
        clock.now += 2.0
        assert await tokens.token() != first


async def test_an_endpoint_that_gives_none_is_named_without_the_secret(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with token_endpoint("shop", SECRET, authority.issue("tokens")) as url:
        tokens = OidcTokens(client(url, authority.ca, f"not-{SECRET}"))
        with pytest.raises(KafkaConnectionError, match=f"the token endpoint {url} gives no token") as refused:
            await tokens.token()
    assert SECRET not in str(refused.value)


def test_names_are_verified_unless_they_are_not_to_be(tmp_path: Path) -> None:
    ca = {"ssl.ca.location": str(Authority(tmp_path).ca)}
    assert ssl_context(ca).check_hostname
    unverified = ssl_context(ca | {"ssl.endpoint.identification.algorithm": "none"})
    assert not unverified.check_hostname
    assert unverified.verify_mode == ssl.CERT_REQUIRED


def test_a_key_that_does_not_open_names_its_settings(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue_client("shop")
    files = {"ssl.certificate.location": str(certificate), "ssl.key.location": str(key)}
    ssl_context(files | {"ssl.key.password": KEY_PASSWORD})
    for password in ({}, {"ssl.key.password": "wrong"}):
        with pytest.raises(RefusedError, match="CARTCAST_KAFKA__SSL_KEY_PASSWORD"):
            ssl_context(files | password)
