"""The cached truth: which networks and authorities targets have while nothing is wrong.

Pure: rounds in, a CachedTruth out when one is to be told. Invariants: only what came over
verified TLS on a line that is `ok`, in three rounds, is ever learned; what is kept names
networks of configured targets and a coarse age, nothing of the host. Bounded.
Source: docs/verdicts.md, "The cached truth".
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from linewatch_agent.plan.truth_entries import HOUR_MS, HOURS_MAX, Entries
from linewatch_core.judging import CachedTruth
from linewatch_core.targets import Target
from linewatch_core.timebase import Interval

NETWORKS_MAX, ISSUERS_MAX = 16, 4
"""Of one target."""
TARGETS_MAX = 128
DAY_MS = 24 * HOUR_MS
AGE_MS_MAX = 30 * DAY_MS
"""What was not seen for so long is forgotten: hosting moves (TRUTH_AGE_MS_MAX of the rules)."""
RENEW_AGE_MS = 7 * DAY_MS
"""A truth that only got older is told again: readers must see that it was confirmed."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A page of a target came over verified TLS from this network, under this authority.

    `trusted` False: something else in the round says that the way was tampered with.
    """

    target: str
    network: str
    issuer: str | None
    trusted: bool = True


_Hours = Annotated[int, msgspec.Meta(ge=0, le=HOURS_MAX)]


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the store holds: ages in whole hours, by target, `what` it was, and entry.

    `day`: the UTC day on which it was written (days since 1970), if that was known.
    """

    networks: dict[str, dict[str, _Hours]] = {}
    issuers: dict[str, dict[str, _Hours]] = {}
    what: dict[str, str] = {}
    day: Annotated[int, msgspec.Meta(ge=0, le=10**7)] | None = None


class TruthBook:
    """What this probe has learned, and when it is to be told."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        given: CachedTruth,
        kept: bytes | None,
        now_ms: int,
    ) -> None:
        """Go on with what `export` gave before the restart; damaged, begin anew.

        Args:
            targets: those configured; what is known of others is forgotten.
            given: what the configuration adds.
        """
        self._what = {target.id: _digest(target) for target in targets[:TARGETS_MAX]}
        self._given = given
        self._networks = Entries(of_one_max=NETWORKS_MAX)
        self._issuers = Entries(of_one_max=ISSUERS_MAX)
        self._told: CachedTruth | None = None
        self._told_ms = self._began_ms = now_ms
        self._ok_ms = 0
        self._last_ok_ms: int | None = None
        self._kept_day: int | None = None
        self._day: int | None = None
        self._load(kept, now_ms)
        self._fresh = not self._networks.sure()

    def learn(self, round_ms: int, *, ok: bool, proofs: Iterable[Proof]) -> None:
        """Take what a round proved; `ok` if any line was.

        A proof that is not trusted makes what was not yet seen often enough begin anew.
        """
        if ok and self._last_ok_ms is not None:
            self._ok_ms += min(max(0, round_ms - self._last_ok_ms), HOUR_MS)
        self._last_ok_ms = round_ms if ok else None
        for proof in proofs:
            if proof.target not in self._what:
                continue
            if not proof.trusted:
                self._networks.forget_unsure(proof.target)
                self._issuers.forget_unsure(proof.target)
                continue
            self._networks.note(proof.target, proof.network, round_ms)
            if proof.issuer is not None:
                self._issuers.note(proof.target, proof.issuer, round_ms)

    def first(self, now_ms: int) -> CachedTruth | None:
        """Return what to tell at a start; None: nothing is known."""
        truth = self._truth(now_ms)
        if truth == CachedTruth():
            return None
        self._told, self._told_ms = truth, now_ms
        return truth

    def due(self, now_ms: int, utc: Interval) -> CachedTruth | None:
        """Return what to tell now, if anything: what changed, at most once a day.

        A probe that began with nothing tells after its first hour of `ok`. `utc` shows how
        long a machine was off: then what it knew may be too old at once.
        """
        if self._correct_ages(now_ms, utc):
            return self._tell(now_ms, anew=True)
        wait_ms = HOUR_MS if self._fresh else DAY_MS
        waited_ms = self._ok_ms if self._fresh else now_ms - self._told_ms
        return self._tell(now_ms) if waited_ms >= wait_ms else None

    def export(self, now_ms: int, utc: Interval) -> bytes:
        """Return what to keep over a restart."""
        day = _day(utc)
        kept = _Kept(
            networks=self._networks.ages_h(now_ms),
            issuers=self._issuers.ages_h(now_ms),
            what=self._what,
            # Where it isn't known now, the last one known: that can only make entries older.
            day=self._day if day is None else day,
        )
        return msgspec.json.encode(kept)

    def _tell(self, now_ms: int, *, anew: bool = False) -> CachedTruth | None:
        truth = self._truth(now_ms)
        old = self._told or CachedTruth()
        told_age_ms = old.age_ms + now_ms - self._told_ms
        renewed = anew or (told_age_ms >= RENEW_AGE_MS and truth.age_ms < DAY_MS)
        if msgspec.structs.replace(truth, age_ms=old.age_ms) == old and not renewed:
            return None
        self._told, self._told_ms, self._fresh = truth, now_ms, False
        return truth

    def _truth(self, now_ms: int) -> CachedTruth:
        for entries in (self._networks, self._issuers):
            entries.forget_old(now_ms, age_ms_max=AGE_MS_MAX)
        seen_ms = self._networks.newest_ms()
        return msgspec.structs.replace(
            self._given,
            networks=self._networks.sure(),
            issuers=self._issuers.sure(),
            age_ms=0 if seen_ms is None else max(0, now_ms - seen_ms),
        )

    def _correct_ages(self, now_ms: int, utc: Interval) -> bool:
        """Make what was kept older by the days that the machine was off, once they are known."""
        day = _day(utc)
        self._day = self._day if day is None else day
        if day is None or self._kept_day is None:
            return False
        away_ms = (day - self._kept_day) * DAY_MS - (now_ms - self._began_ms)
        self._kept_day = None
        if away_ms <= DAY_MS:
            return False
        self._networks.age_unseen(away_ms)
        self._issuers.age_unseen(away_ms)
        return True

    def _load(self, kept: bytes | None, now_ms: int) -> None:
        if kept is None:
            return
        try:
            old = msgspec.json.decode(kept, type=_Kept)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return
        self._kept_day = self._day = old.day
        same = {name for name, what in self._what.items() if old.what.get(name) == what}
        self._networks.restore(old.networks, same, now_ms)
        self._issuers.restore(old.issuers, same, now_ms)


def _digest(target: Target) -> str:
    """Return what tells whether an id still means the same host."""
    return hashlib.sha256(f"{target.host} {target.url}".encode()).hexdigest()[:8]


def _day(utc: Interval) -> int | None:
    """Return the UTC day, in days since 1970, if the time is known to a day."""
    width = utc.width_ms
    if utc.lo_ms is None or width is None or width > DAY_MS or utc.disputed or utc.lo_ms < 0:
        return None
    return utc.lo_ms // DAY_MS
