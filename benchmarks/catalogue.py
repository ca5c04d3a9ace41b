"""What a catalogue takes: memory and CPU time per item, from a record's bytes to a row, and finding rows.

`.venv/bin/python -m benchmarks.catalogue --items 1000000`
"""

import argparse
import resource
import time
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from model.items.catalogue import Catalogue
from model.items.codes import item_codes
from model.items.columns import ItemColumns
from model.items.item import Item, decode_item

AT_ONCE: Final = 500
"""As a worker takes them from the topic."""
WORDS: Final = 50_000
ASKED: Final = 100_000


def main() -> None:
    options = _options()
    rng = np.random.default_rng(0)
    catalogue = Catalogue(options.dimension, lambda columns: _vectors(columns, options.dimension))
    _fill(catalogue, rng, 0, AT_ONCE, options.vector)  # compiles
    before, seconds = _resident_bytes(), 0.0
    for first in range(AT_ONCE, AT_ONCE + options.items, AT_ONCE):
        seconds += _fill(catalogue, rng, first, AT_ONCE, options.vector)
    count = len(catalogue.view) - AT_ONCE
    taken, peak = _resident_bytes() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(f"{count:,} items, vectors of {options.vector} numbers embedded in {options.dimension}")
    print(f"memory {taken / 1e6:,.0f} MB, {taken / count:,.0f} bytes an item; at most {peak / 1e6:,.0f} MB")
    print(f"reading {1e6 * seconds / count:.0f} us an item")
    codes = rng.choice(catalogue.view.codes, ASKED)
    began = time.process_time()
    catalogue.view.find(codes)
    print(f"finding {1e9 * (time.process_time() - began) / ASKED:.0f} ns an item")
    ids = [f"new-{number}" for number in range(ASKED)]
    began = time.process_time()
    catalogue.learn(item_codes(ids), ids)
    print(f"learning {1e6 * (time.process_time() - began) / ASKED:.0f} us an item that only events name")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=64, help="numbers of the model's vectors")
    parser.add_argument("--vector", type=int, default=64, help="numbers of the shop's vectors")
    return parser.parse_args()


def _vectors(columns: ItemColumns, dimension: int) -> npt.NDArray[np.float32]:
    return np.ones((len(columns), dimension), np.float32)


def _fill(catalogue: Catalogue, rng: np.random.Generator, first: int, count: int, vector: int) -> float:
    """Put items as records have them; returns the seconds of CPU that it took."""
    records = [_record(rng, first + number, vector) for number in range(count)]
    began = time.process_time()
    catalogue.put([decode_item(record) for record in records])
    return time.process_time() - began


def _record(rng: np.random.Generator, number: int, vector: int) -> bytes:
    words = [f"word{word}" for word in rng.integers(0, WORDS, 48).tolist()]
    return msgspec.json.encode(
        Item(
            item_id=f"sku-{number:012d}",
            title=" ".join(words[:8]),
            description=" ".join(words[8:]),
            category=f"Level {number % 20} > Level {number % 300} > Level {number % 4000}",
            brand=f"Brand {number % 9000}",
            price=number % 200 + 0.99,
            currency="EUR",
            in_stock=number % 10 > 0,
            vector=rng.normal(size=vector).round(4).tolist() or None,
        )
    )


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
