"""Asking what runs: a worker's look-up API, and the topic of scores."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Any, Final
from urllib.parse import quote, urlencode

from service.worker_client import ask_worker

_LOCAL: Final = "http://127.0.0.1:6066"


class Client:
    """Asks workers about shoppers (docs/api.md); any worker will do, it forwards.

    Every method raises UnavailableError if nobody answers, and LookUpError for what the worker refuses, such as a
    shopper whom it does not know.
    """

    def __init__(self, url: str = _LOCAL, *, token: str = "", timeout_seconds: float = 10.0) -> None:
        """Keep where a worker is, and the token that it asks for."""
        self._url, self._token, self._timeout_seconds = url.rstrip("/"), token, timeout_seconds

    def user(self, user_id: str) -> dict[str, Any]:
        """Return a shopper's state and latest propensities."""
        return self._asked(f"/v1/users/{_quoted(user_id)}")

    def users(self, user_ids: Sequence[str], *, items: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return an answer or an `error` for each shopper, in this order; with `items`, as `items` returns it."""
        body = {"user_ids": list(user_ids)} | ({} if items is None else {"items": items})
        answer: list[dict[str, Any]] = self._asked("/v1/users:batch", json.dumps(body).encode())["results"]
        return answer

    def items(self, user_id: str, **query: Any) -> dict[str, Any]:  # noqa: ANN401 - parameters of the API
        """Return which items a shopper is likeliest to want; parameters are the API's, such as k=10 and goal="cart"."""
        return self._asked(f"/v1/users/{_quoted(user_id)}/items?{urlencode(query)}")

    def explain(self, user_id: str, *, event_id: str | None = None) -> dict[str, Any]:
        """Return which of a shopper's events moved the propensities after the last one, or the one that is named."""
        query = "" if event_id is None else f"?{urlencode({'event_id': event_id})}"
        return self._asked(f"/v1/users/{_quoted(user_id)}/explanation{query}")

    def _asked(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        return ask_worker(
            self._url, path, dict[str, Any], body=body, token=self._token, timeout_seconds=self._timeout_seconds
        )


def scores(
    *,
    bootstrap_servers: str = "127.0.0.1:9092",
    topic_prefix: str = "cartcast",
    last: int = 100,
    follow: bool = False,
    client_config: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the last scores of the topic, and with `follow` those that arrive, without end.

    Each is a message of docs/contracts/score.schema.json. No consumer group is joined and nothing is committed.
    `client_config` are further properties of librdkafka, such as those of TLS and SASL. Raises UnavailableError if
    Kafka does not answer, RefusedError if it refuses.
    """
    from service.kafka_settings import Topics  # noqa: PLC0415 - loads pydantic
    from streams.tail import TopicTail  # noqa: PLC0415 - loads librdkafka

    config = {"bootstrap.servers": bootstrap_servers, **(client_config or {})}
    with closing(TopicTail(config, Topics(prefix=topic_prefix).scores, last)) as tail:
        yield from _objects(tail.last())
        while follow:
            yield from _objects(tail.arrived())


def _objects(messages: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - the client exports no type
    for message in messages:
        with suppress(ValueError):
            if isinstance(score := json.loads(message.value() or b""), dict):
                yield score


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")
