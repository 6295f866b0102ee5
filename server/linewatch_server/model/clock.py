"""When a probe's records happened: one timeline per epoch, from the boots its `ev` stream names.

Pure. Epochs are not ordered among each other, since nothing says for sure
which store came first; a boot seen in two of them shares its anchors. A boot
that no `ev` segment names yet stays unplaced until one arrives.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from linewatch_core.ids import BootId, Epoch
from linewatch_core.records import Anchor
from linewatch_core.timebase import Boot, Interval, Timeline


@dataclass(frozen=True, slots=True)
class BootSeen:
    """A boot of one epoch as far as it has arrived.

    Attributes:
        ev_first_seq: the first number it has in `ev`; None if none has arrived.
        mono_first_ms, mono_last_ms: the range of its records.
    """

    epoch: Epoch
    boot: BootId
    ev_first_seq: int | None
    mono_first_ms: int
    mono_last_ms: int


class MonoRange(NamedTuple):
    """A stretch of one boot's clock, both ends included."""

    epoch: Epoch
    boot: BootId
    first_ms: int
    last_ms: int


class ProbeClock:
    """Places the records of one probe in UTC."""

    def __init__(self, seen: Iterable[BootSeen], anchors: Iterable[tuple[BootId, Anchor]]) -> None:
        """Build from every boot seen and every anchor stored."""
        self._seen = tuple(sorted(seen, key=lambda s: (s.epoch, s.ev_first_seq or 0, s.boot)))
        of_boot: defaultdict[BootId, list[Anchor]] = defaultdict(list)
        for boot, anchor in anchors:
            of_boot[boot].append(anchor)
        ordered: defaultdict[Epoch, list[Boot]] = defaultdict(list)
        for seen_boot in self._seen:
            if seen_boot.ev_first_seq is not None:
                ordered[seen_boot.epoch].append(
                    Boot(
                        seen_boot.boot,
                        seen_boot.mono_first_ms,
                        seen_boot.mono_last_ms,
                        tuple(of_boot[seen_boot.boot]),
                    )
                )
        self._timelines = {epoch: Timeline(boots) for epoch, boots in ordered.items()}
        self._homes = {s.boot: s.epoch for s in self._seen if s.ev_first_seq is not None}
        self._placed = {(s.epoch, s.boot) for s in self._seen if s.ev_first_seq is not None}

    def place(self, epoch: Epoch, boot: BootId, mono_ms: int) -> Interval:
        """Return when the clock of `boot` read `mono_ms`; unbounded if nothing tells.

        A boot of another epoch of the probe (as a gap may name) is found too.
        """
        home = epoch if (epoch, boot) in self._placed else self._homes.get(boot)
        if home is None:
            return Interval(None, None)
        return self._timelines[home].place(boot, mono_ms)

    def ranges(self, from_ms: int, to_ms: int) -> list[MonoRange]:
        """Return, boot after boot, the stretches that can lie in [from_ms, to_ms] of UTC.

        A boot that nothing places can lie anywhere: it is returned whole.
        """
        found = []
        for seen in self._seen:
            reach: tuple[int, int] | None = (seen.mono_first_ms, seen.mono_last_ms)
            if (seen.epoch, seen.boot) in self._placed:
                reach = self._timelines[seen.epoch].mono_range(seen.boot, from_ms, to_ms)
            if reach is not None:
                found.append(MonoRange(seen.epoch, seen.boot, *reach))
        return sorted(found, key=lambda r: (self._starts(r), r.epoch))

    def _starts(self, reach: MonoRange) -> tuple[bool, int]:
        placed = self.place(reach.epoch, reach.boot, reach.first_ms)
        at = placed.lo_ms if placed.lo_ms is not None else placed.hi_ms
        return at is None, at or 0
