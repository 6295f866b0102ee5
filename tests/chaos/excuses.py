"""Why a promised record may be missing from the server: what the archive itself tells.

Gaps that name numbers, gaps in time, segments that do not open or are not
believed. Without rot only two reasons count: thinned on a full store, and lost
by the server's own restore. Used by ledger.py, which knows what was promised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from linewatch_core.ids import BootId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Body, Gap, GapReason, LineChanged, Sample
from tests.chaos.pack_reader import Chain, Contents

Place: TypeAlias = tuple[Chain, int]


@dataclass(frozen=True, slots=True)
class Promise:
    """A record that the store said is committed, and in which boot."""

    body: Body
    boot: BootId


class Excuses:
    """Why a promised record may be missing: what the archive itself tells."""

    def __init__(
        self,
        contents: Contents,
        *,
        boots: Sequence[BootId],
        promises: Mapping[Place, Sequence[Promise]],
        rotten: set[str],
        set_aside: set[str],
        lost_by_restore: set[Place],
    ) -> None:
        """Read the gaps of an archive.

        Args:
            boots: in order.
            rotten: epochs whose store rotted; set_aside: those that ended by that.
            lost_by_restore: what was freed after an ack that the server then forgot.
        """
        self._rotten = rotten
        self._set_aside = set_aside
        self._lost_by_restore = lost_by_restore
        self._unreadable = contents.unreadable
        self._order = {boot: place for place, boot in enumerate(boots)}
        self._full: dict[Chain, SeqSet] = {}
        self._damaged: dict[Chain, SeqSet] = {}
        self._spans: list[tuple[tuple[int, int], tuple[int, int]]] = []
        self._fresh_after_damage: set[str] = set()
        # Only an epoch that rot took back has such segments: what it said last is in them.
        self._disbelieved = [found.record.body for found in contents.disbelieved]
        self.disbelieved = {token_of(body) for body in self._disbelieved}
        for found in (*contents.found, *contents.disbelieved):
            if isinstance(found.record.body, Gap):
                self._take_gap(found.chain[0], found.boot, found.record.body)
        for place, some in promises.items():
            # A gap that rot or the server's restore took is told as lost itself, and what it
            # told with it.
            gone = place[0][0] in rotten or place in lost_by_restore
            for promise in some:
                if gone and isinstance(promise.body, Gap):
                    self._take_gap(place[0][0], promise.boot, promise.body)

    def _take_gap(self, epoch: str, boot: BootId, gap: Gap) -> None:
        if gap.stream is not None and gap.first_seq and gap.last_seq:
            ranges = self._full if gap.reason is GapReason.STORE_FULL else self._damaged
            ranges_of(ranges, (epoch, gap.stream)).add(gap.first_seq, gap.last_seq)
            if epoch not in self._rotten:
                return
            # After rot took numbers back nobody here knows which were meant: time does.
        begin = (self._order[gap.from_boot], gap.from_ms)
        if gap.reason is GapReason.STORE_DAMAGED and gap.stream is None:
            # It says: of the epoch before, all that the server lacks is gone.
            self._fresh_after_damage.add(epoch)
            begin = (0, 0)
        self._spans.append((begin, (self._order[boot], gap.to_ms)))

    def in_time(self, boot: BootId, ms: int) -> bool:
        """Return whether a gap in time covers a moment."""
        at = (self._order[boot], ms)
        return any(begin <= at <= end for begin, end in self._spans)

    def of(self, place: Place, promise: Promise) -> str | None:
        """Return why the record of a place may be missing, or None."""
        chain, seq = place
        if ranges_of(self._full, chain).covers(seq, seq):
            return "thinned on a full store, told by a gap"
        if place in self._lost_by_restore:
            return "freed after an ack, then lost by the server's restore"
        if chain[0] not in self._rotten:
            return None
        return self._of_rot(chain, seq, promise)

    def _of_rot(self, chain: Chain, seq: int, promise: Promise) -> str | None:
        for ranges, reason in (
            (self._damaged, "damaged on the card, told by a gap"),
            (self._unreadable, "damaged on the card, kept by the server as unreadable"),
        ):
            if ranges_of(ranges, chain).covers(seq, seq):
                return reason
        if promise.body in self._disbelieved:
            return "written again after rot took commits back; quarantined"
        if chain[0] in self._set_aside and self._fresh_after_damage - {chain[0]}:
            return "in a damaged store that was set aside, told by a gap"
        if self.in_time(promise.boot, promise.body.mono_ms):
            return "taken back by rot in the journal, told by a gap in time"
        return None


def token_of(body: Body) -> int | None:
    """Return the number that tells a measured thing apart, if the body carries one."""
    if isinstance(body, Sample) and body.rtt_us is not None:
        return body.rtt_us // 10
    if isinstance(body, LineChanged):
        return int(body.line.rpartition("-")[2])
    return None


def ranges_of(ranges: dict[Chain, SeqSet], chain: Chain) -> SeqSet:
    """Return the numbers noted for a chain, to read or to add to."""
    return ranges.setdefault(chain, SeqSet())
