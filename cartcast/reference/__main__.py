"""`python -m cartcast.reference` (`make reference`) writes every generated file of `docs/`, in the current directory.

With `--check` it writes nothing, names the files that are not as the code says, and exits 1 if there are any.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from cartcast.reference.files import FILES


def stale(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file under `root` that is missing or not as the code says, with the text that it should have."""
    for name, text_of in FILES.items():
        path, text = root / name, text_of()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path, text


def main() -> int:
    """Write or check the files; return the exit code."""
    is_check = "--check" in sys.argv[1:]
    found = 0
    for path, text in stale(Path()):
        found += 1
        sys.stdout.write(f"{path} {'is not as the code says: run `make reference`' if is_check else 'written'}\n")
        if not is_check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(is_check and found > 0)


if __name__ == "__main__":
    sys.exit(main())
