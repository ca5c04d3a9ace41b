"""Asking a worker's look-up API (docs/api.md)."""

import time
from http.client import HTTPException
from typing import Final, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from service.errors import LookUpError, UnavailableError

TIMEOUT_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 16_000_000
_DEFAULT_RETRY_SECONDS: Final = 1.0

_direct: Final = build_opener(ProxyHandler({}))
"""A proxy that the machine's environment names for the web is not for the worker."""

Answer = TypeVar("Answer")


class WorkerRefusedError(LookUpError):
    """A worker gives no answer; `code` is the API's, `message` its sentence, `retry_seconds` set if asking helps."""

    def __init__(self, url: str, code: str, message: str, retry_seconds: float | None = None) -> None:
        super().__init__(f"the worker at {url} refuses: {message}")
        self.code = code
        self.message = message
        self.retry_seconds = retry_seconds


class _Problem(msgspec.Struct):
    code: str
    message: str


class _Refusal(msgspec.Struct):
    error: _Problem


def ask_explanation(  # noqa: PLR0913 - what a question consists of
    url: str,
    user_id: str,
    event_id: str | None,
    answer: type[Answer],
    *,
    token: str = "",
    timeout_seconds: float = TIMEOUT_SECONDS,
    retry_for_seconds: float = 0.0,
) -> Answer:
    """Return what moved a user's propensities after an event, the last one if None; raises as `ask_worker` does."""
    user, event = (quote(text.encode("utf-8", "replace"), safe="") for text in (user_id, event_id or ""))
    path = f"/v1/users/{user}/explanation{f'?event_id={event}' if event_id is not None else ''}"
    return ask_worker(
        url, path, answer, token=token, timeout_seconds=timeout_seconds, retry_for_seconds=retry_for_seconds
    )


def ask_worker(  # noqa: PLR0913 - as above
    url: str,
    path: str,
    answer: type[Answer],
    *,
    body: bytes | None = None,
    token: str = "",
    timeout_seconds: float = TIMEOUT_SECONDS,
    retry_for_seconds: float = 0.0,
) -> Answer:
    """Return what a worker answers to a question, or to a body of JSON, as a value of type `answer`.

    A worker that is busy, or whose partitions move, is asked again for `retry_for_seconds`. Raises UnavailableError if
    nobody answers there, WorkerRefusedError if the worker has no answer, LookUpError if it is no worker.
    """
    deadline = time.monotonic() + retry_for_seconds
    while True:
        try:
            return _asked(url, path, body, token, answer, timeout_seconds)
        except WorkerRefusedError as refused:
            if refused.retry_seconds is None or time.monotonic() > deadline:
                raise
            time.sleep(min(refused.retry_seconds, retry_for_seconds))


def _asked(  # noqa: PLR0913, PLR0917 - as above
    url: str, path: str, body: bytes | None, token: str, answer: type[Answer], timeout_seconds: float
) -> Answer:
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = Request(url.rstrip("/") + path, body, headers)  # noqa: S310 - the scheme is checked where it is set
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with _direct.open(request, timeout=timeout_seconds) as response:
            return msgspec.json.decode(response.read(MAX_ANSWER_BYTES), type=answer)
    except HTTPError as refused:
        raise _refusal(url, refused) from None
    except OSError:  # URLError is one
        raise UnavailableError(f"no worker answers at {url}") from None
    except (msgspec.MsgspecError, HTTPException, ValueError):
        raise _no_worker(url) from None


def _refusal(url: str, refused: HTTPError) -> LookUpError:
    try:
        with refused:
            problem = msgspec.json.decode(refused.read(MAX_ANSWER_BYTES), type=_Refusal).error
    except (msgspec.MsgspecError, OSError):
        return _no_worker(url)
    if refused.code != 503:
        return WorkerRefusedError(url, problem.code, problem.message)
    try:
        retry_seconds = float(refused.headers.get("Retry-After", ""))
    except ValueError:
        retry_seconds = _DEFAULT_RETRY_SECONDS
    return WorkerRefusedError(url, problem.code, problem.message, retry_seconds)


def _no_worker(url: str) -> LookUpError:
    return LookUpError(f"what answers at {url} is no worker of this version: correct the address")
