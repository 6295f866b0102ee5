"""What each line may still spend this month: feeds the pure ledger and asks the pure budget.

Counts every check's bytes and the uplink's. What it keeps over restarts are sums per
line and month, nothing of what was measured.
"""

from collections.abc import Callable, Sequence

import structlog

from linewatch_agent.plan.budget import (
    EVERYTHING,
    PURSE_BACK_BYTES,
    PURSE_BACK_MS,
    PURSE_BYTES_MAX,
    Allowance,
    allowance,
    month_cap_bytes,
    purse,
)
from linewatch_agent.plan.ledger import (
    LineLedger,
    Purpose,
    advance,
    decode_ledgers,
    encode_ledgers,
    purpose_of,
    spend,
)
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.load import load_of
from linewatch_agent.plan.schedule import Slot
from linewatch_agent.plan.settings import Config
from linewatch_core.errors import MalformedError
from linewatch_core.records import Check, Role
from linewatch_core.targets import Target
from linewatch_core.timebase import Interval

log = structlog.get_logger()


class Meter:
    """The ledgers of all lines, and what each line is allowed in the present round."""

    def __init__(
        self,
        config: Config,
        targets: Sequence[Target],
        kept: bytes | None,
        *,
        on_step: Callable[[str, int], None] = lambda _, __: None,
    ) -> None:
        """Go on with what `export` gave before the restart; damaged, with empty ledgers.

        Args:
            on_step: is told (line, step) when a line begins to save more data, or less.
        """
        self._on_step = on_step
        self._config = config
        self._targets = targets
        self._ledgers: dict[str, LineLedger] = {}
        self._allowed: dict[str, Allowance] = {}
        self._purses: dict[str, float] = {}
        self._back_ms: dict[str, int] = {}
        self._at_ms: int | None = None
        if kept is not None:
            try:
                self._ledgers = decode_ledgers(kept)
            except MalformedError as error:
                log.warning("ledger_lost", reason=str(error))

    def begin_round(self, lines: Sequence[Line], *, now_ms: int, utc: Interval) -> None:
        """Bring the ledgers to now, and decide what each line may spend in this round."""
        elapsed_ms = 0 if self._at_ms is None else now_ms - self._at_ms
        self._at_ms = now_ms
        for line in lines:
            ledger = advance(self.ledger(line.id), elapsed_ms=elapsed_ms, utc=utc)
            self._ledgers[line.id] = ledger
            cap = month_cap_bytes(self._config, line.kind)
            allowed = EVERYTHING
            if cap is not None:
                load = load_of(self._config, self._targets, line.families)
                allowed = allowance(ledger, load, cap_bytes=cap)
                self._purses[line.id] = purse(
                    self._purses.get(line.id, PURSE_BYTES_MAX),
                    ledger,
                    load,
                    cap_bytes=cap,
                    after_s=elapsed_ms / 1000,
                )
            before = self._allowed.get(line.id, EVERYTHING)
            if allowed.step != before.step:
                log.info("budget_step_changed", line=line.id, step=allowed.step)
                self._on_step(line.id, allowed.step)
            self._allowed[line.id] = allowed

    def allows(self, line: str, slot: Slot) -> bool:
        """Return whether a line takes a slot of the present round."""
        return self._allowed.get(line, EVERYTHING).allows(slot)

    def affords(self, line: Line, count: int) -> bool:
        """Return whether so many bytes more stay within a line's month."""
        cap = month_cap_bytes(self._config, line.kind)
        return cap is None or self.ledger(line.id).spent_bytes + count <= cap

    def may_connect(self, line: str) -> bool:
        """Return whether a line may spend on a connection to the server now, or must wait."""
        return self._purses.get(line, PURSE_BYTES_MAX) >= 0

    def is_back(self, line: str, now_ms: int) -> None:
        """A line answers again: it may tell so, whatever connecting has cost before."""
        before_ms = self._back_ms.get(line)
        if line in self._purses and (before_ms is None or now_ms - before_ms >= PURSE_BACK_MS):
            self._back_ms[line] = now_ms
            self._purses[line] = max(self._purses[line], PURSE_BACK_BYTES)

    def allowance(self, line: str) -> Allowance:
        """Return what a line may spend on now."""
        return self._allowed.get(line, EVERYTHING)

    def ledger(self, line: str) -> LineLedger:
        """Return a line's month so far."""
        return self._ledgers.get(line, LineLedger())

    def spend(self, line: str, check: Check, role: Role, count: int) -> None:
        """Count the bytes of a check, both ways."""
        self._ledgers[line] = spend(self.ledger(line), purpose_of(check, role), count)

    def spend_uplink(self, line: str, count: int, *, opening: bool = False) -> None:
        """Count bytes of the uplink, both ways; `opening`: they went into connecting."""
        if opening and line in self._purses:
            before, self._purses[line] = self._purses[line], self._purses[line] - count
            if before >= 0 > self._purses[line]:
                log.info("connecting_waits", line=line, reason="too often for this month's data")
        self._ledgers[line] = spend(self.ledger(line), Purpose.UPLINK, count)

    def export(self) -> bytes:
        """Return what to keep over a restart."""
        return encode_ledgers(self._ledgers)
