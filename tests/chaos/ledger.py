"""Accounts for every record: stored once at the server, or in a gap that was told.

It knows what was measured, what the store said is committed or given up, and
what acks said; nothing of tables, files or machines. `Broken` is raised the
moment that a promise is broken, or at the end by `settle`. The promises are
those of docs/failure-model.md.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from linewatch_core.ids import BootId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import (
    Body,
    Gap,
    Record,
    Stream,
    stream_of,
)
from tests.chaos.excuses import Excuses, Place, Promise, ranges_of, token_of
from tests.chaos.pack_reader import Chain, Contents, Found

LATER = 1 << 30
"""More restores than any server had."""


class BrokenError(AssertionError):
    """A promise is broken; the text says which."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers first..last of a chain."""

    chain: Chain
    first: int
    last: int


@dataclass(slots=True)
class Ledger:
    """The account of one probe's life; excused losses are counted by their reason."""

    boots: list[BootId] = field(default_factory=list)
    measured: dict[int, tuple[BootId, int]] = field(default_factory=dict)
    promises: dict[Place, list[Promise]] = field(default_factory=dict)
    next_seq: Counter[Chain] = field(default_factory=Counter)
    doubtful: list[Range] = field(default_factory=list)
    doubts: dict[Place, Promise] = field(default_factory=dict)
    thinning_in_doubt: bool = False
    told_in_doubt: dict[Place, Place] = field(default_factory=dict)
    """What a thinning gave up that ended without a word, and the number of its first gap."""
    given_up: dict[Chain, SeqSet] = field(default_factory=dict)
    freed: dict[Chain, SeqSet] = field(default_factory=dict)
    acked: dict[Chain, SeqSet] = field(default_factory=dict)
    acked_ever: dict[Chain, SeqSet] = field(default_factory=dict)
    forgetful: set[Chain] = field(default_factory=set)
    said: dict[Chain, SeqSet] = field(default_factory=dict)
    said_at: dict[tuple[Chain, tuple[tuple[int, int], ...]], int] = field(default_factory=dict)
    acked_at: dict[Chain, int] = field(default_factory=dict)
    freed_at: dict[Place, int] = field(default_factory=dict)
    rotten: set[str] = field(default_factory=set)
    set_aside: set[str] = field(default_factory=set)
    restores: int = 0
    excused: Counter[str] = field(default_factory=Counter)

    # --- what is told -------------------------------------------------------

    def was_measured(self, token: int, ms: int) -> None:
        """Note one thing that was measured, and when, in the present boot."""
        self.measured[token] = (self.boots[-1], ms)

    def was_committed(self, epoch: str, records: Sequence[Record]) -> None:
        """Note what the store said is durable."""
        for record in records:
            chain = (epoch, stream_of(record.body))
            if record.seq <= self.next_seq[chain] - 1 and epoch not in self.rotten:
                raise BrokenError(f"seq {record.seq} of {chain} was given out before")
            self._promise(chain, record.seq, record.body)
            self.next_seq[chain] = record.seq + 1

    def is_in_doubt(self, epoch: str, bodies: Sequence[Body]) -> None:
        """Note a commit that ended without a word: all of it is there, or nothing."""
        upcoming: dict[Chain, int] = {}
        self.doubts = {}
        for body in bodies:
            chain = (epoch, stream_of(body))
            seq = upcoming.get(chain, max(1, self.next_seq[chain]))
            self.doubts[chain, seq] = Promise(body, self.boots[-1])
            upcoming[chain] = seq + 1
        self.doubtful = [
            Range(chain, max(1, self.next_seq[chain]), after - 1)
            for chain, after in upcoming.items()
        ]

    def was_numbered(self, chain: Chain, last: int) -> None:
        """Note how far the store has counted: it writes gaps of its own accord."""
        self.next_seq[chain] = max(self.next_seq[chain], last + 1)

    def was_given_up(
        self, epoch: str, dropped: Iterable[Range], gaps: Sequence[Gap], *, last_ev: int
    ) -> None:
        """Note what the store gave up, and check that it may: told in a gap, or acked.

        Args:
            last_ev: the number of the last of the gaps.
        """
        told: dict[Chain, SeqSet] = {}
        for gap in gaps:
            if gap.stream is None or gap.first_seq is None or gap.last_seq is None:
                raise BrokenError(f"a gap of {gap.reason} does not say what went")
            told.setdefault((epoch, gap.stream), SeqSet()).add(gap.first_seq, gap.last_seq)
        for one in dropped:
            kept = told.get(one.chain, SeqSet())
            if kept.covers(one.first, one.last):
                ranges_of(self.given_up, one.chain).add(one.first, one.last)
                continue
            if not self._may_free(one):
                raise BrokenError(f"freed without an ack or a gap: {one}")
            self._free(one)
        for place, gap in enumerate(gaps, start=last_ev - len(gaps) + 1):
            self._promise((epoch, stream_of(gap)), place, gap)
        self.was_numbered((epoch, Stream.EV), last_ev)

    def _free(self, one: Range) -> None:
        """Note what was freed, and how many restores the server had when it said that ack."""
        ranges_of(self.freed, one.chain).add(one.first, one.last)
        known = 0 if one.chain in self.forgetful else self.acked_at.get(one.chain, 0)
        for seq in range(one.first, one.last + 1):
            self.freed_at[one.chain, seq] = known

    def _may_free(self, one: Range) -> bool:
        acked = self.acked_ever if one.chain in self.forgetful else self.acked
        return ranges_of(acked, one.chain).covers(one.first, one.last)

    def was_said(self, chain: Chain, numbers: SeqSet, durable: SeqSet) -> None:
        """Check an ack that the server makes against what is durable there."""
        for first, last in numbers:
            if not durable.covers(first, last):
                raise BrokenError(f"the server acks {first}..{last} of {chain}, not all durable")
            ranges_of(self.said, chain).add(first, last)
        self.said_at[chain, tuple(numbers)] = self.restores

    def was_acked(self, chain: Chain, numbers: SeqSet) -> None:
        """Note what the store is told that the server has; some server must have said so."""
        for first, last in numbers:
            if not ranges_of(self.said, chain).covers(first, last):
                raise BrokenError(f"{first}..{last} of {chain} counts as acked, no server said so")
            ranges_of(self.acked_ever, chain).add(first, last)
        self.acked[chain] = SeqSet(numbers)
        self.acked_at[chain] = self.said_at.get((chain, tuple(numbers)), 0)
        self.forgetful.discard(chain)

    def ended(self) -> None:
        """Note that the probe's process is gone: an ack that was in memory may be forgotten."""
        self.forgetful |= set(self.acked)

    def started(self, epoch: str, held: Iterable[Range], *, next_boot: BootId) -> bool:
        """Check what a start finds: every number promised, told as lost, or freed.

        Returns:
            Whether the store is one that was there before.
        """
        is_known = any(chain[0] == epoch for chain in self.next_seq)
        present: dict[Chain, SeqSet] = {}
        for one in held:
            ranges_of(present, one.chain).add(one.first, one.last)
        for old in {chain[0] for chain in self.next_seq} - {epoch} - self.set_aside:
            if old not in self.rotten:
                raise BrokenError(f"the store of epoch {old} was set aside and nothing was wrong")
            self.set_aside.add(old)
        self._settle_doubts(epoch, present)
        if epoch not in self.rotten:
            self._check_present(epoch, present)
        self.doubtful, self.doubts, self.thinning_in_doubt = [], {}, False
        self.boots.append(next_boot)
        return is_known

    def check_kept(self, epoch: str, tokens: set[int]) -> None:
        """Check that what a start did not get from the copy in memory was committed."""
        if epoch in self.rotten:
            return  # Rot took commits back, and with them the word which copy goes on from them.
        tokens = tokens - {token_of(one.body) for some in self.promises.values() for one in some}
        if tokens:
            raise BrokenError(f"a kill lost what the copy in memory had: {sorted(tokens)}")

    def _settle_doubts(self, epoch: str, present: dict[Chain, SeqSet]) -> None:
        """See whether the commit that ended without a word is there; half of it is too little."""
        kept = {ranges_of(present, one.chain).covers(one.first, one.last) for one in self.doubtful}
        torn = len(kept) > 1 or any(
            ranges_of(present, one.chain).overlaps(one.first, one.last) and False in kept
            for one in self.doubtful
        )
        if torn and epoch not in self.rotten:
            raise BrokenError(f"half of a commit is there: {self.doubtful}")
        if kept == {True}:
            for (chain, seq), promise in self.doubts.items():
                self.promises.setdefault((chain, seq), []).append(promise)
                self.next_seq[chain] = max(self.next_seq[chain], seq + 1)

    def _check_present(self, epoch: str, present: dict[Chain, SeqSet]) -> None:
        # Events last: the first gap's number is where they went on.
        chains = [chain for chain in self.next_seq if chain[0] == epoch]
        for chain in sorted(chains, key=lambda chain: chain[1] is Stream.EV):
            accounted = SeqSet(ranges_of(present, chain))
            for told in (self.given_up, self.freed):
                for first, last in ranges_of(told, chain):
                    accounted.add(first, last)
            for first, last in accounted.missing(1, self.next_seq[chain] - 1):
                if not self.thinning_in_doubt:
                    raise BrokenError(f"{first}..{last} of {chain} was committed and is gone")
                self._settle_thinning(chain, SeqSet([(first, last)]))
            # Gaps of a thinning that ended without a word.
            self.next_seq[chain] = max(self.next_seq[chain], (accounted.last() or 0) + 1)

    def _settle_thinning(self, chain: Chain, gone: SeqSet) -> None:
        """Note what a thinning took that ended without a word: what was acked needs no gap, of
        the rest `settle` looks for one."""
        unacked = gone.difference(ranges_of(self.acked_ever, chain))
        for first, last in gone.difference(unacked):
            self._free(Range(chain, first, last))
        events = (chain[0], Stream.EV)
        for first, last in unacked:
            ranges_of(self.given_up, chain).add(first, last)
            for seq in range(first, last + 1):
                self.told_in_doubt[chain, seq] = (events, self.next_seq[events])

    def _promise(self, chain: Chain, seq: int, body: Body) -> None:
        self.promises.setdefault((chain, seq), []).append(Promise(body, self.boots[-1]))

    # --- the end --------------------------------------------------------------

    def settle(self, contents: Contents) -> None:
        """Check the server's archive, opened by its recipient, against all that was promised."""
        stored: dict[Place, list[Found]] = {}
        tokens: Counter[int] = Counter()
        for found in contents.found:
            stored.setdefault((found.chain, found.record.seq), []).append(found)
            token = token_of(found.record.body)
            if token is not None:
                tokens[token] += 1
        for found in contents.disbelieved:
            if found.chain[0] not in self.rotten:
                raise BrokenError(f"{found.chain} {found.record.seq} is not believed, for nothing")
        self._check_once(stored, tokens)
        excuses = Excuses(
            contents,
            boots=self.boots,
            promises=self.promises,
            rotten=self.rotten,
            set_aside=self.set_aside,
            lost_by_restore={
                place for place, known in self.freed_at.items() if known < self.restores
            },
        )
        for place, promises in self.promises.items():
            here = [found.record.body for found in stored.get(place, [])]
            for promise in promises:
                if promise.body not in here:
                    self._excuse(place, promise, excuses)
        promised = {token_of(one.body) for some in self.promises.values() for one in some}
        for token, (boot, ms) in self.measured.items():
            if not tokens[token] and token not in promised:
                if token not in excuses.disbelieved and not excuses.in_time(boot, ms):
                    raise BrokenError(f"{token}, measured at {ms} ms of {boot}, is untold")
                self.excused["lost with the process, told by a gap in time"] += 1

    def _check_once(self, stored: dict[Place, list[Found]], tokens: Counter[int]) -> None:
        for place, copies in stored.items():
            if len(copies) > 1:
                raise BrokenError(f"{place} is stored {len(copies)} times")
            promised = self.promises.get(place, [])
            same = copies[0].record.body in [one.body for one in promised]
            if promised and not same and place[0][0] not in self.rotten:
                raise BrokenError(f"{place} is stored as another record than was committed")
        for token, count in tokens.items():
            if count > 1:
                raise BrokenError(f"{token} was measured once and is stored {count} times")
            if token not in self.measured:
                raise BrokenError(f"{token} is stored and was never measured")

    def _excuse(self, place: Place, promise: Promise, excuses: Excuses) -> None:
        reason = excuses.of(place, promise)
        gap = self.told_in_doubt.get(place)
        if reason is None and gap is not None and self.freed_at.get(gap, LATER) < self.restores:
            reason = "told by a gap that nobody saw, then lost by the server's restore"
        if reason is None:
            raise BrokenError(f"{place} was committed, is not at the server, and no gap says so")
        self.excused[reason] += 1
