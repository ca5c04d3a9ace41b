"""Cartcast: the probability that a shopper buys, scored at every event of a stream; from Python, and as a command.

The names in `__all__` are the Python API (docs/python.md); they are imported when they are asked for, because loading
PyTorch takes longer than most commands.
"""

TYPE_CHECKING = False  # `python -m cartcast` runs this before the current folder is out of the way: it imports nothing
if TYPE_CHECKING:
    from typing import Any

    from cartcast.api.client import Client as Client
    from cartcast.api.client import scores as scores
    from cartcast.api.evaluation import Evaluation as Evaluation
    from cartcast.api.evaluation import evaluate as evaluate
    from cartcast.api.events import Events as Events
    from cartcast.api.events import read as read
    from cartcast.api.events import simulate as simulate
    from cartcast.api.model import Model as Model
    from cartcast.api.model import load as load
    from cartcast.api.model import train as train
    from service.errors import CartcastError as CartcastError

__version__ = "0.1.0"
"""Of the whole program: what the wheel, the documents of the contracts and `cartcast --version` say."""

_MODULES = {
    "CartcastError": "service.errors",
    "Client": "cartcast.api.client",
    "Evaluation": "cartcast.api.evaluation",
    "Events": "cartcast.api.events",
    "Model": "cartcast.api.model",
    "evaluate": "cartcast.api.evaluation",
    "load": "cartcast.api.model",
    "read": "cartcast.api.events",
    "scores": "cartcast.api.client",
    "simulate": "cartcast.api.events",
    "train": "cartcast.api.model",
}
__all__ = ["__version__", *_MODULES]  # noqa: PLE0604 - names of strings


def __getattr__(name: str) -> "Any":  # noqa: ANN401 - each has its own type
    if name not in _MODULES:
        raise AttributeError(f"module 'cartcast' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
