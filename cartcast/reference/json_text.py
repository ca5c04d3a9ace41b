"""How a contract is written down as JSON."""

import json
from collections.abc import Callable
from typing import Any


def json_text(document: Callable[[], Any]) -> Callable[[], str]:
    """Return a function that returns the document as it stands in its file."""
    return lambda: json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
