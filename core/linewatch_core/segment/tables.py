"""Dictionary coding: each different value once, then its place.

Places run from 0 in order of first appearance. A place from the wire that
points nowhere raises MalformedError.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Generic, TypeVar

from linewatch_core.errors import MalformedError

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)


class Table(Generic[H]):
    """Different values in order of first appearance."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: dict[H, int] = {}

    def place(self, value: H) -> int:
        """Return the value's place, a new one if it was not seen before."""
        return self._places.setdefault(value, len(self._places))

    @property
    def values(self) -> list[H]:
        """The values; each stands at its place."""
        return list(self._places)


def lookup(values: Sequence[T], place: int) -> T:
    """Return the value at a place from the wire, or raise MalformedError."""
    if not 0 <= place < len(values):
        raise MalformedError(f"cannot read block: place {place} of {len(values)} in a table")
    return values[place]


def sorted_by_series(series_of: Sequence[int]) -> list[int]:
    """Return the positions of a seq-ordered column, series by series, each in seq order."""
    return sorted(range(len(series_of)), key=series_of.__getitem__)


def groups(series: Sequence[int]) -> Iterator[range]:
    """Yield the positions of each run of equal values."""
    starts = [at for at in range(len(series)) if at == 0 or series[at] != series[at - 1]]
    return (range(first, end) for first, end in pairwise([*starts, len(series)]))


def differences(values: Iterable[int]) -> list[int]:
    """Return the first value, then each value less the one before; accumulate() undoes it."""
    found, before = [], 0
    for value in values:
        found.append(value - before)
        before = value
    return found


def recency_ranks(series_of: Sequence[int]) -> list[int]:
    """Return each series as its place in a queue, from 1; 0 for one not seen before.

    A series that is met goes to the queue's end, so a round that repeats the one
    before, whatever its order, is all ones. `from_recency_ranks` undoes it.
    """
    queue: list[int] = []
    ranks = []
    for series in series_of:
        rank = queue.index(series) + 1 if series in queue else 0
        if rank:
            queue.pop(rank - 1)
        ranks.append(rank)
        queue.append(series)
    return ranks


def from_recency_ranks(ranks: Sequence[int]) -> list[int]:
    """Return the series, numbered by first appearance, that have these ranks."""
    queue: list[int] = []
    found = []
    for rank in ranks:
        if not 0 <= rank <= len(queue):
            raise MalformedError(f"cannot read block: rank {rank} of {len(queue)} series")
        series = queue.pop(rank - 1) if rank else len(queue)
        queue.append(series)
        found.append(series)
    return found
