"""Who may read a worker's pages: everybody on this machine, or whoever shows the bearer token (RFC 6750)."""

import hmac
import ipaddress
import socket
from typing import Final

from streams.errors import StreamError
from streams.settings import WorkerSettings

CHALLENGE: Final = 'Bearer realm="cartcast"'


class Access:
    """Admits requests by their Authorization header; without a token it admits all."""

    def __init__(self, token: str = "") -> None:
        self._token = token.encode()

    def admits(self, authorization: str) -> bool:
        """Compare in a time that tells nothing of the token."""
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")  # as aiohttp decodes headers
        return not self._token or (hmac.compare_digest(given, self._token) and scheme.lower() == "bearer")


def refuse_to_be_open(worker: WorkerSettings) -> None:
    """Raise StreamError if other machines could read what shoppers did without a token."""
    if not worker.web_token.get_secret_value() and not _is_loopback(worker.web_bind):
        raise StreamError(
            f"worker.web_bind {worker.web_bind} lets other machines in, and worker.web_token is not set: "
            "set CARTCAST_WORKER__WEB_TOKEN, or CARTCAST_WORKER__WEB_BIND to 127.0.0.1"
        )


def _is_loopback(address: str) -> bool:
    """Whether only this machine reaches `address`; what is no address of any machine is told later."""
    try:
        found = {name[0] for *_, name in socket.getaddrinfo(address, 0)}
    except (OSError, UnicodeError):
        return True
    return all(ipaddress.ip_address(str(each).partition("%")[0]).is_loopback for each in found)
