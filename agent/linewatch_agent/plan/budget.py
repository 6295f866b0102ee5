"""Which checks a line can afford: from the month's ledger to a step on a fixed ladder.

Pure. Each step gives up one thing a little more; the first step whose cost fits what is
left of the month holds. Invariants: less data never means a lesser step; vital checks are
slowed in the end but never stopped. Source: docs/configuration.md, "The data budget".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType

import msgspec

from linewatch_agent.plan.ledger import LineLedger, Purpose, purpose_of
from linewatch_agent.plan.schedule import Slot
from linewatch_agent.plan.settings import Config
from linewatch_core.records import LineKind

Strides = Mapping[Purpose, int | None]
"""Per purpose: every n-th turn runs; None: none does. For the uplink: every n-th time that
live blocks would be closed. All are powers of two, so that what is measured seldom is
measured in rounds in which everything denser is measured too."""

FULL: Strides = MappingProxyType(dict.fromkeys(Purpose, 1))

_STEPS: tuple[tuple[Purpose, tuple[int | None, ...]], ...] = (
    # Sending later loses nothing that is measured.
    (Purpose.UPLINK, (2,)),
    (Purpose.GOODPUT, (2, 4, 8, 16)),
    (Purpose.UPLINK, (4,)),
    (Purpose.GOODPUT, (32, None)),
    (Purpose.HTTP, (2, 4, 8)),
    (Purpose.UPLINK, (8,)),
    (Purpose.HTTP, (16, 32, 64, None)),
    (Purpose.LIGHT, (2, 4)),
    (Purpose.VITAL, (2,)),
    (Purpose.LIGHT, (8,)),
    (Purpose.VITAL, (4,)),
    (Purpose.LIGHT, (16, 32)),
    (Purpose.VITAL, (8, 16)),
)
"""What is given up, in this order: a stride of each purpose after the other."""


def _ladder() -> tuple[Strides, ...]:
    steps = [(purpose, stride) for purpose, strides in _STEPS for stride in strides]
    walk = accumulate(steps, lambda at, step: {**at, step[0]: step[1]}, initial=dict(FULL))
    return tuple(MappingProxyType(strides) for strides in walk)


LADDER = _ladder()
"""From everything at full frequency to the least that a line is ever measured."""


PURSE_BYTES_MAX = 448_000
"""What a line may spend at once on connecting to the server: some fifty times."""
PURSE_SHARE = 0.25
"""And for good: this share of what is left of the month, spread over what is left of it. Who
cuts each connection after a minute would else take several times the month's data."""
PURSE_LEAST = 0.65
"""But always so many bytes a second: every four hours what has happened can be told."""
PURSE_BACK_BYTES = 28_000
"""What is in it at least, once in `PURSE_BACK_MS`, when a line answers again: two or three
connections, since the first minutes of a restoration may be all there are."""
PURSE_BACK_MS = 3_600_000

FRUGAL_MONTH_MB = 30
FRUGAL_SEND_S = 900.0
FRUGAL_KEEPALIVE_S = 300


@dataclass(frozen=True, slots=True)
class Load:
    """What a line's plan costs at full frequency.

    Attributes:
        checks: bytes a second, per purpose (without the uplink).
        sends: bytes a second for sending live samples, apart from the samples themselves.
        rolls: the same for roll-ups; they can't be sent more often than samples.
        hold_max: how many times longer than usual a block can stay open.
        idle: bytes a second that keep an idle connection alive.
        idle_saved: bytes of these that each byte of `sends` saves: a busy one isn't pinged.
        round_bytes: what one round in which everything is due costs.
    """

    checks: Mapping[Purpose, float] = field(default_factory=dict)
    sends: float = 0.0
    rolls: float = 0.0
    hold_max: float = 1.0
    idle: float = 0.0
    idle_saved: float = 0.0
    round_bytes: int = 0

    def at(self, strides: Strides) -> float:
        """Return the bytes a second at these strides."""
        sends = self.sends / min(strides[Purpose.UPLINK] or 1, self.hold_max)
        checks = sum(
            cost / stride for purpose, cost in self.checks.items() if (stride := strides[purpose])
        )
        idle = max(0.0, self.idle - sends * self.idle_saved)
        return checks + sends + min(self.rolls, sends) + idle


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a line may spend on now: a step of the ladder, 0 being everything."""

    step: int
    strides: Strides = field(repr=False)

    def allows(self, slot: Slot) -> bool:
        """Return whether this line takes this slot.

        In a tight round the anchors are never left out: they date the change.
        """
        purpose = purpose_of(slot.check, slot.target.role)
        if purpose is None or (slot.tight and purpose is Purpose.VITAL):
            return True
        stride = self.strides[purpose]
        return stride is not None and slot.turn % stride == 0

    @property
    def uplink_stride(self) -> int:
        """How many times longer than usual live samples may wait for each other."""
        return self.strides[Purpose.UPLINK] or 1


EVERYTHING = Allowance(0, FULL)
"""For a line without a budget."""


def with_profile(config: Config) -> Config:
    """Return the configuration as its budget's profile means it.

    `frugal` bounds the month's data, and sends and keeps alive seldom: on an idle line
    these cost more than the checks.
    """
    if config.budget.profile == "normal":
        return config
    change = msgspec.structs.replace
    budget, store, uplink = config.budget, config.store, config.uplink
    send_s = max(store.live_close_s, FRUGAL_SEND_S)
    return change(
        config,
        budget=change(budget, month_mb=min(budget.month_mb, FRUGAL_MONTH_MB)),
        store=change(store, live_close_s=send_s, block_s=max(store.block_s, send_s)),
        uplink=change(uplink, keepalive_s=max(uplink.keepalive_s, FRUGAL_KEEPALIVE_S)),
    )


def month_cap_bytes(config: Config, kind: LineKind) -> int | None:
    """Return the most that a line of `kind` may spend in a month; None: no limit."""
    if config.budget.lines == "mobile" and kind is not LineKind.MOBILE:
        return None
    return config.budget.month_mb * 1_000_000


def allowance(ledger: LineLedger, load: Load, *, cap_bytes: int) -> Allowance:
    """Return what a line may spend on, so that the month ends within its budget.

    One round's cost is held back: a round runs whole once it has begun.

    Args:
        ledger: the line's month so far.
        load: what its plan costs.
        cap_bytes: the month's budget, both ways.
    """
    return fitting(load, bytes_per_s=_left_per_s(ledger, load, cap_bytes))


def purse(
    before: float, ledger: LineLedger, load: Load, *, cap_bytes: int, after_s: float
) -> float:
    """Return the bytes that a line may spend on connecting; below nought it has to wait.

    Args:
        before: what it was `after_s` seconds ago, less what was spent since.
        ledger, load, cap_bytes: as of `allowance`.
    """
    gained = max(PURSE_LEAST, PURSE_SHARE * _left_per_s(ledger, load, cap_bytes)) * after_s
    return min(PURSE_BYTES_MAX, before + gained)


def _left_per_s(ledger: LineLedger, load: Load, cap_bytes: int) -> float:
    left = cap_bytes - ledger.spent_bytes - load.round_bytes
    return 1000 * left / max(1, ledger.remaining_ms)


def fitting(load: Load, *, bytes_per_s: float) -> Allowance:
    """Return the first step of the ladder that costs at most so much, else the last one."""
    for step, strides in enumerate(LADDER):
        if load.at(strides) <= bytes_per_s:
            return Allowance(step, strides)
    return Allowance(len(LADDER) - 1, LADDER[-1])
