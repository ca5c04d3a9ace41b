"""Whether each fetch begins where the one before it ended: what is skipped in between would be lost."""

from collections.abc import Mapping


class FetchOrder:
    """Remembers where each source partition's next fetch begins, by (topic, partition).

    Across a rebalance aiokafka can hand out records from behind others that were fetched before and dropped. Their
    successors would be taken for the next in order, and they, when they come at last, for repeats.
    """

    def __init__(self) -> None:
        self._next: dict[tuple[str, int], int] = {}
        self._doubted: dict[tuple[str, int], int] = {}

    def sought(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Begin anew at these offsets."""
        self._next = dict(positions)
        self._doubted.clear()

    def take(self, partition: tuple[str, int], first: int, end: int) -> int | None:
        """Take a fetch of the offsets from `first` to before `end`: None, or where to fetch again in its place.

        A fetch that begins behind its place a second time is taken: then there is nothing in between, but a
        transaction's marker, or what retention has deleted.
        """
        place = self._next.get(partition, first)
        if first > place and self._doubted.get(partition) != first:
            self._doubted[partition] = first
            return place
        self._next[partition] = end
        self._doubted.pop(partition, None)
        return None
