"""What was seen of targets, how often and when last: the entries behind the cached truth.

Pure. Knows nothing of what the entries mean (truth.py does). Bounded: of one target those
unseen for longest go first, and in all there are never more than so many.
"""

from collections.abc import Collection, Mapping

import msgspec

HOUR_MS = 3_600_000
HOURS_MAX = 1000
ROUNDS_MIN = 3
"""Seen in fewer rounds it may be one odd answer."""
ENTRIES_MAX = 512
"""A truth is one record, and must fit a segment with room to spare."""


class _Entry(msgspec.Struct):
    """How often it was seen, and when last (ms of this boot); `round_ms` None: before it."""

    last_ms: int
    rounds: int
    round_ms: int | None = None

    @property
    def sure(self) -> bool:
        return self.rounds >= ROUNDS_MIN


class Entries:
    """Names seen, by target: networks, or authorities."""

    def __init__(self, *, of_one_max: int) -> None:
        """Keep at most so many of one target."""
        self._of_one_max = of_one_max
        self._by_target: dict[str, dict[str, _Entry]] = {}

    def note(self, target: str, name: str, round_ms: int) -> None:
        """Take what a round showed; several times in one round are once."""
        entries = self._by_target.setdefault(target, {})
        one = entries.get(name)
        if one is not None:
            if one.round_ms != round_ms:
                one.rounds, one.last_ms, one.round_ms = one.rounds + 1, round_ms, round_ms
            return
        if len(entries) >= self._of_one_max:
            del entries[min(entries, key=lambda each: entries[each].last_ms)]
        elif sum(map(len, self._by_target.values())) >= ENTRIES_MAX:
            return
        entries[name] = _Entry(round_ms, 1, round_ms)

    def forget_unsure(self, target: str) -> None:
        """Let what was not seen often enough yet begin anew."""
        entries = self._by_target.get(target, {})
        self._by_target[target] = {name: one for name, one in entries.items() if one.sure}

    def forget_old(self, now_ms: int, *, age_ms_max: int) -> None:
        """Forget what was not seen for so long."""
        for target, entries in self._by_target.items():
            self._by_target[target] = {
                name: one for name, one in entries.items() if now_ms - one.last_ms <= age_ms_max
            }

    def age_unseen(self, away_ms: int) -> None:
        """Make what was not seen since the start older by so much."""
        for entries in self._by_target.values():
            for one in entries.values():
                if one.round_ms is None:
                    one.last_ms -= away_ms

    def sure(self) -> dict[str, tuple[str, ...]]:
        """Return the names seen often enough, by target, both sorted."""
        found = {
            target: tuple(sorted(name for name, one in entries.items() if one.sure))
            for target, entries in sorted(self._by_target.items())
        }
        return {target: names for target, names in found.items() if names}

    def newest_ms(self) -> int | None:
        """Return when any of these was seen last; None if there is none."""
        seen = (one for entries in self._by_target.values() for one in entries.values())
        return max((one.last_ms for one in seen if one.sure), default=None)

    def ages_h(self, now_ms: int) -> dict[str, dict[str, int]]:
        """Return what to keep: the ages of what was seen often enough, in whole hours."""
        return {
            target: {
                name: min(HOURS_MAX, -(-max(0, now_ms - one.last_ms) // HOUR_MS))
                for name, one in entries.items()
                if one.sure
            }
            for target, entries in self._by_target.items()
        }

    def restore(
        self, ages_h: Mapping[str, Mapping[str, int]], targets: Collection[str], now_ms: int
    ) -> None:
        """Take what `ages_h` gave, of these targets, the youngest first."""
        for target in sorted(set(targets) & ages_h.keys()):
            ages = sorted(ages_h[target].items(), key=lambda each: each[1])
            self._by_target[target] = {
                name: _Entry(now_ms - hours * HOUR_MS, ROUNDS_MIN)
                for name, hours in ages[: self._of_one_max]
            }
