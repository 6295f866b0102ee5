"""Sets of sequence numbers, kept as sorted disjoint ranges.

Used by the store (what is held), the uploader (what is in flight) and the
ingestor (what is durable). All ranges are inclusive at both ends.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class SeqSet:
    """A mutable set of integers, as ranges; memory is per range, not per number."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Add first..last, merging what overlaps or touches."""
        _check(first, last)
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def discard(self, first: int, last: int) -> None:
        """Remove first..last, whatever of it is there."""
        _check(first, last)
        low = bisect_left(self._lasts, first)
        high = bisect_right(self._firsts, last)
        if low >= high:
            return
        kept = []
        if self._firsts[low] < first:
            kept.append((self._firsts[low], first - 1))
        if self._lasts[high - 1] > last:
            kept.append((last + 1, self._lasts[high - 1]))
        self._firsts[low:high] = [k[0] for k in kept]
        self._lasts[low:high] = [k[1] for k in kept]

    def covers(self, first: int, last: int) -> bool:
        """Return whether every number of first..last is in the set."""
        _check(first, last)
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and self._lasts[at] >= last

    def overlaps(self, first: int, last: int) -> bool:
        """Return whether any number of first..last is in the set."""
        _check(first, last)
        return bisect_left(self._lasts, first) < bisect_right(self._firsts, last)

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the ranges of first..last that are not in the set, ascending."""
        if first > last:
            return []
        rest = SeqSet([(first, last)])
        for low, high in self:
            rest.discard(low, high)
        return list(rest)

    def difference(self, other: "SeqSet") -> "SeqSet":
        """Return a new set: what is here and not in `other`."""
        result = SeqSet(self)
        for first, last in other:
            result.discard(first, last)
        return result

    def last(self) -> int | None:
        """Return the greatest number, or None if empty."""
        return self._lasts[-1] if self._lasts else None

    def first(self) -> int | None:
        """Return the least number, or None if empty."""
        return self._firsts[0] if self._firsts else None

    def count(self) -> int:
        """Return how many numbers are in the set."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._firsts, self._lasts, strict=True)))

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SeqSet) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SeqSet({list(self)})"


def _check(first: int, last: int) -> None:
    if first > last:
        raise ValueError(f"empty range: {first}..{last}")
