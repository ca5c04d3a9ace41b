"""TLS and SASL for Faust's consumer and the publisher, from the properties that librdkafka's clients take."""

import asyncio
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
import faust
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from faust.auth import Credentials
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from service.kafka import ssl_context

_ANSWER_SECONDS: Final = 10
_USED_SHARE: Final = 0.8
"""Of a token's lifetime: librdkafka refreshes at the same share."""
_LIFE_SECONDS: Final = 300.0
"""Of a token whose endpoint gives no `expires_in`."""


def faust_credentials(client_config: Mapping[str, Any]) -> Credentials | None:
    """Return what reaches the same brokers in the same way; None for brokers that ask for nothing."""
    protocol = client_config.get("security.protocol", "PLAINTEXT")
    context = ssl_context(client_config) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return faust.SSLCredentials(context=context)
    if not protocol.startswith("SASL"):
        return None
    if client_config["sasl.mechanism"] == "OAUTHBEARER":
        return faust.OAuthCredentials(oauth_cb=OidcTokens(client_config), ssl_context=context)
    return faust.SASLCredentials(
        username=client_config["sasl.username"],
        password=client_config["sasl.password"],
        mechanism=client_config["sasl.mechanism"],
        ssl_context=context,
    )


def aiokafka_options(client_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an aiokafka client that reaches the same brokers in the same way."""
    return dict(credentials_to_aiokafka_auth(faust_credentials(client_config)))


class OidcTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Access tokens of an OpenID Connect provider (RFC 6749, section 4.4), each kept for a while."""

    def __init__(self, client_config: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._url = str(client_config["sasl.oauthbearer.token.endpoint.url"])
        client = f"{client_config['sasl.oauthbearer.client.id']}:{client_config['sasl.oauthbearer.client.secret']}"
        self._headers = {"Authorization": f"Basic {b64encode(client.encode()).decode()}"}
        self._scope = client_config.get("sasl.oauthbearer.scope")
        self._ca = client_config.get("https.ca.location")
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token, self._good_until = "", 0.0

    async def token(self) -> str:
        """Return a token that is still good; raises KafkaConnectionError, after which aiokafka tries again."""
        async with self._lock:
            if self._clock() >= self._good_until:
                try:
                    answer = await self._ask()
                    self._token = str(answer["access_token"])
                    life_seconds = float(answer.get("expires_in", _LIFE_SECONDS))
                except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as failure:
                    raise KafkaConnectionError(
                        f"the token endpoint {self._url} gives no token ({type(failure).__name__})"
                    ) from None
                self._good_until = self._clock() + _USED_SHARE * life_seconds
            return self._token

    async def _ask(self) -> dict[str, Any]:
        form = {"grant_type": "client_credentials", **({"scope": self._scope} if self._scope else {})}
        context = ssl.create_default_context(cafile=self._ca)
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(self._url, data=form, headers=self._headers, ssl=context, raise_for_status=True) as answer,
        ):
            decoded: dict[str, Any] = await answer.json(content_type=None)
            return decoded
