"""Which names a page may be asked by: what keeps web pages of others from reading it (DNS rebinding)."""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_NAME_AND_PORT: Final = re.compile(r"(\[[^\]]*\]|[^:]*)(?::\d*)?")
WRONG_HOST: Final = "the Host header names another machine: ask by address or as localhost, or set the name"


class Hosts:
    """Which Host headers name this process: an IP address, `localhost`, or one of `names`, with any port.

    A web page whose name was made to resolve to this machine (DNS rebinding) sends its own name; addresses, by which
    probes and scrapers come, cannot be made to resolve elsewhere.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}

    def admits(self, host: str) -> bool:
        """Judge a Host header as it came; one without a name, which browsers never send, is admitted."""
        found = _NAME_AND_PORT.fullmatch(host)
        if found is None:
            return False
        name = found[1].lower().rstrip(".")
        if not name or name in self._names:
            return True
        return _is_address(name.strip("[]"))


@lru_cache(256)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def names_in(text: str) -> tuple[str, ...]:
    """Return the names that a setting gives, separated by commas."""
    return tuple(name for part in text.split(",") if (name := part.strip()))
