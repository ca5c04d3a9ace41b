#!/opt/cartcast/bin/python
"""Ask one address of this container: exit 0 if it answers 200, else 1 with one line that says why.

The images have no curl. Usage: healthcheck URL
"""

import sys
from urllib.error import HTTPError
from urllib.request import urlopen

TIMEOUT_SECONDS = 4


def problem(url: str) -> str | None:
    """Return what is wrong in one line, None if nothing is."""
    try:
        with urlopen(url, timeout=TIMEOUT_SECONDS):  # noqa: S310 - the address stands in the image or Compose file
            return None
    except HTTPError as answer:
        return f"{url}: {answer.code} {answer.read(2000).decode(errors='replace').strip()}"
    except OSError as failure:
        return f"{url}: {failure}"


if __name__ == "__main__":
    sys.exit(problem(sys.argv[1]))
