"""Compilation of the hot path's plain loops to machine code.

A compiled function releases the interpreter lock, so that the partitions of one worker are scored side by side. Its
uncompiled form, `function.py_func`, does the same one Python operation at a time and is the reference in tests.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

import numba
import xxhash

Function = TypeVar("Function", bound=Callable[..., Any])
StateRecord: TypeAlias = Any
"""One record of a structured array, whose fields are attributes in compiled code."""

_SOURCES: Final = Path(__file__).parent


def compiled(function: Function) -> Function:
    """Compile a function on its first call, and keep the machine code for the next process.

    Division by zero gives infinity or NaN, as in numpy.
    """
    return cast("Function", numba.njit(nogil=True, error_model="numpy", cache=_IS_CACHED)(function))


def compiled_sums(function: Function) -> Function:
    """Compile like `compiled`, and let sums be computed in another order and with fused multiplication and addition.

    For sums of many floats, which then use the processor's vector units.
    """
    return cast(
        "Function",
        numba.njit(nogil=True, error_model="numpy", cache=_IS_CACHED, fastmath={"reassoc", "contract"})(function),
    )


def _use_cache() -> bool:
    """Choose the folder for machine code: beside the source, or the user's; return whether either can be written.

    Its name is a hash of the sources. Numba compares only the file of the function itself, and would go on using
    machine code into which an older form of a function from another file has been inlined.
    """
    digest = xxhash.xxh3_64()
    for source in sorted(_SOURCES.glob("*.py")):
        digest.update(source.read_bytes())
    name = f"compiled-{digest.hexdigest()}"
    for parent in (_SOURCES / "__pycache__", Path("~/.cache/cartcast").expanduser()):
        folder = parent / name
        with suppress(OSError):
            if not folder.exists():
                folder.mkdir(parents=True)
                for older in parent.glob("compiled-*"):
                    if older != folder:
                        shutil.rmtree(older, ignore_errors=True)
            if os.access(folder, os.W_OK):
                numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined] # made when Numba is imported
                return True
    return False


_IS_CACHED: Final = _use_cache()


def is_machine_code_kept() -> bool:
    """Whether an earlier process has left machine code for this one."""
    return _IS_CACHED and any(Path(numba.config.CACHE_DIR).rglob("*.nbi"))  # type: ignore[attr-defined]
