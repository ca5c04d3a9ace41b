"""Compilation of the hot path's plain loops to machine code.

A compiled function releases the interpreter lock, so that the partitions of one worker are scored side by side. Its
uncompiled form, `function.py_func`, does the same one Python operation at a time and is the reference in tests.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

import numba
import xxhash
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])
StateRecord: TypeAlias = Any
"""One record of a structured array, whose fields are attributes in compiled code."""

_SOURCES: Final = Path(__file__).parent


def compiled(function: Function) -> Function:
    """Compile a function on its first call, and keep the machine code for the next process.

    Division by zero gives infinity or NaN, as in numpy.
    """
    return cast("Function", _kept(numba.njit(nogil=True, error_model="numpy")(function)))


def compiled_sums(function: Function) -> Function:
    """Compile like `compiled`, and let sums be computed in another order and with fused multiplication and addition.

    For sums of many floats, which then use the processor's vector units.
    """
    return cast(
        "Function", _kept(numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})(function))
    )


class _ForgivingCache(FunctionCache):
    """Numba's cache, but what is wrong with it (damaged files, a folder that is gone, a full disk) costs only time."""

    def load_overload(self, *arguments: Any) -> Any:  # noqa: ANN401 - Numba's signature
        try:
            return super().load_overload(*arguments)  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001 - of damaged bytes, unpickling can make any exception
            with suppress(Exception):
                self.flush()  # type: ignore[no-untyped-call] # else nothing could be kept either
            return None

    def save_overload(self, *arguments: Any) -> None:  # noqa: ANN401 - Numba's signature
        with suppress(Exception):
            super().save_overload(*arguments)  # type: ignore[no-untyped-call]


def _kept(dispatcher: Any) -> Any:  # noqa: ANN401 - Numba's dispatcher
    if _IS_CACHED:
        with suppress(RuntimeError):  # no folder that Numba can write
            # As its enable_caching() does.
            dispatcher._cache = _ForgivingCache(dispatcher.py_func)  # type: ignore[no-untyped-call]
    return dispatcher


def _use_cache() -> bool:
    """Choose the folder for machine code: beside the source, or the user's; return whether either can be written.

    Its name is a hash of the sources. Numba compares only the file of the function itself, and would go on using
    machine code into which an older form of a function from another file has been inlined.
    """
    digest = xxhash.xxh3_64()
    for source in sorted([*_SOURCES.glob("*.py"), *_SOURCES.parent.glob("*.py")]):  # constants are compiled in as well
        digest.update(source.read_bytes())
    name = f"compiled-{digest.hexdigest()}"
    for parent in _parents():
        folder = parent / name
        with suppress(OSError):
            if not folder.exists():
                _make(folder)
            if os.access(folder, os.W_OK):
                numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined] # made when Numba is imported
                return True
    return False


def _make(folder: Path) -> None:
    """Make a folder for machine code, with what an image brings beside the source, and without older versions'."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    brought = _SOURCES / "__pycache__" / folder.name  # Numba does not read where it cannot write
    if brought.is_dir():
        shutil.copytree(brought, folder, dirs_exist_ok=True)
    else:
        folder.mkdir(exist_ok=True)
    for older in folder.parent.glob("compiled-*"):
        if older != folder:
            shutil.rmtree(older, ignore_errors=True)


def _parents() -> Iterator[Path]:
    yield _SOURCES / "__pycache__"
    with suppress(RuntimeError):  # a user without a home
        yield Path("~/.cache/cartcast").expanduser()


_IS_CACHED: Final = _use_cache()


def is_machine_code_kept() -> bool:
    """Whether an earlier process has left machine code for this one."""
    return _IS_CACHED and any(Path(numba.config.CACHE_DIR).rglob("*.nbi"))  # type: ignore[attr-defined]
