"""What the run before this one left of itself, and what this one notes for the next.

Each commit says up to when everything is kept. A start makes of that the gap which tells
what was not measured, and why. Time is CLOCK_BOOTTIME in ms.
"""

import msgspec

from linewatch_agent.store.database import Database
from linewatch_agent.store.spare import Mark
from linewatch_agent.store.tables import get_state, set_state
from linewatch_core.ids import BootId
from linewatch_core.records import Gap, GapReason

_KEY = "last"


class _LastWord(msgspec.Struct, frozen=True):
    """Up to where this probe is known to have kept everything, and how long it has run."""

    boot: BootId
    safe_ms: int
    clean: bool
    uptime_ms: int
    mark: Mark = Mark()


class RunNotes:
    """The note that every commit renews, in the same transaction."""

    def __init__(self, db: Database, *, boot: BootId, now_ms: int) -> None:
        """Read what the run before left; call it inside `reading`."""
        self._db = db
        self._boot = boot
        self._started_ms = now_ms
        last = get_state(db, _KEY)
        self._previous = msgspec.msgpack.decode(last, type=_LastWord) if last else None

    @property
    def are_first(self) -> bool:
        """Whether no run of this store has noted anything before."""
        return self._previous is None

    @property
    def last_mark(self) -> Mark:
        """Up to which body of which run the last commit before this start went."""
        return Mark() if self._previous is None else self._previous.mark

    def uptime_ms(self, now_ms: int) -> int:
        """Return how long agents have run on this store, over all restarts."""
        before_ms = 0 if self._previous is None else self._previous.uptime_ms
        return before_ms + now_ms - self._started_ms

    def write(self, *, now_ms: int, safe_ms: int, mark: Mark, clean: bool) -> None:
        """Write down how far this run is, inside a transaction of the caller's."""
        word = _LastWord(self._boot, safe_ms, clean, self.uptime_ms(now_ms), mark)
        set_state(self._db, _KEY, msgspec.msgpack.encode(word))

    def opening_gap(self, now_ms: int, *, spared_ms: int, is_new: bool) -> Gap | None:
        """Return the gap between what was kept before and now, or None on the very first start.

        Args:
            spared_ms: up to when a copy in memory kept everything, in this boot.
            is_new: there is no older store that was set aside.
        """
        previous = self._previous
        if previous is None:
            if is_new:
                return None
            return Gap(now_ms, GapReason.STORE_DAMAGED, self._boot, 0, now_ms)
        if previous.boot != self._boot:
            return Gap(now_ms, GapReason.REBOOTED, previous.boot, previous.safe_ms, now_ms)
        reason = GapReason.STOPPED if previous.clean else GapReason.KILLED
        return Gap(now_ms, reason, previous.boot, max(previous.safe_ms, spared_ms), now_ms)
