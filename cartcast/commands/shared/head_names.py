"""The values of `--head`."""

from typing import TYPE_CHECKING

from service.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.heads import Head


def head_names(names: "Sequence[str]") -> "tuple[Head, ...]":
    """Return the extra heads of these names, in their own order; raises UsageError for a name that is none."""
    from model.heads import HEADS  # noqa: PLC0415 - numpy is slow to import

    if unknown := [name for name in names if name not in HEADS]:
        raise UsageError(f"--head {unknown[0]}: choose from {', '.join(HEADS)}")
    return tuple(head for head in HEADS if head in names)
