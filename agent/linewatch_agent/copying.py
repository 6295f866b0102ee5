"""When what waits for a commit is copied to memory that outlives the agent (store/spare.py).

Invariant: what was taken SPARE_S ago is in the copy or in the store, as far as there is a
tmpfs and somebody calls `copy_if_due` in time. Source: docs/decisions/0018.
"""

from collections.abc import Callable

from linewatch_agent import clock
from linewatch_agent.plan.waiting import Waiting
from linewatch_agent.store.spare import Mark, SpareCopy

SPARE_S = 4.0
"""What waits is in the copy this soon: a kill costs at most 5 s."""


class Copying:
    """Keeps the copy of what waits; without a tmpfs there is none, and nothing is ever due."""

    def __init__(
        self, waiting: Waiting, spare: SpareCopy | None, measured_ms: Callable[[], int]
    ) -> None:
        """Prepare; for `measured_ms` see Recorder."""
        self._waiting = waiting
        self._spare = spare
        self._measured_ms = measured_ms
        self._lacking_s: float | None = None

    def taken(self) -> bool:
        """Note that something waits that the copy lacks; return whether that is news."""
        if self._spare is None or self._lacking_s is not None:
            return False
        self._lacking_s = clock.mono_s()
        return True

    def due_s(self) -> float | None:
        """Return when what waits is to be copied, or None if the copy has it."""
        return None if self._lacking_s is None else self._lacking_s + SPARE_S

    def copy_if_due(self) -> None:
        """Copy if it is time."""
        due_s = self.due_s()
        if due_s is not None and clock.mono_s() >= due_s:
            self.copy()

    def copy(self) -> None:
        """Copy what waits and is not in the copy yet."""
        self._lacking_s = None
        if self._spare is not None:
            newer = self._waiting.after(self._spare.through)
            safe_ms = self._waiting.safe_ms(self._measured_ms(), after=len(self._waiting))
            self._spare.note(newer, safe_ms=safe_ms)

    def mark(self, count: int) -> Mark | None:
        """Return what a commit of the oldest `count` notes in the store; None: no copy is kept."""
        if self._spare is None:
            return None
        return Mark(self._spare.run, self._waiting.through(count))

    def stored(self) -> None:
        """The store took something: if that was all, the copy can be emptied."""
        if self._spare is not None and not self._waiting:
            self._spare.clear()
            self._lacking_s = None
