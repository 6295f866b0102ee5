"""Estimate what a configuration costs each line: records a day, bytes a month.

Pure and rough, for people before they start a probe; the agent counts the real
bytes as it goes. Source of the sizes: docs/configuration.md, "Data use".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from linewatch_agent.plan.budget import FULL, Allowance, Load, fitting, month_cap_bytes
from linewatch_agent.plan.ledger import Purpose
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.load import RECORD_BYTES, load_of, records_per_s
from linewatch_agent.plan.settings import MIB, Config
from linewatch_agent.plan.updates import LOOK_BYTES, RELEASE_BYTES, may_carry
from linewatch_core.targets import Target

DAY_S = 86_400
MONTH_S = 30 * DAY_S

HOLD_DAYS_ADVISED = 90


@dataclass(frozen=True, slots=True)
class LineUse:
    """What a configuration costs one line, at most, with nothing held back.

    Where releases come over that line, with one of them in a month.
    """

    records_per_day: int
    bytes_per_month: int


def estimate(
    config: Config, targets: Sequence[Target], lines: Sequence[Line]
) -> dict[str, LineUse]:
    """Return by line id what a month of measuring costs.

    The check of a line's own gateway is counted as a record but not as data: it
    never leaves the home.

    Args:
        config: the configuration in force.
        targets: as `resolve_targets` returned them.
        lines: as found; one with no family yet is counted as IPv4.
    """
    return {line.id: _use(config, targets, line) for line in lines}


def advice(config: Config, targets: Sequence[Target], lines: Sequence[Line]) -> tuple[str, ...]:
    """Return warnings, one sentence each: legal settings that may not be meant."""
    return (
        *_data_advice(config, targets, lines),
        *_store_advice(config, estimate(config, targets, lines)),
    )


def _data_advice(config: Config, targets: Sequence[Target], lines: Sequence[Line]) -> Iterator[str]:
    for line in lines:
        cap = month_cap_bytes(config, line.kind)
        load = load_of(config, targets, line.families)
        if cap is None or load.at(FULL) * MONTH_S <= cap:
            continue
        held = fitting(load, bytes_per_s=(cap - load.round_bytes) / MONTH_S)
        yield (
            f"line {line.id} would use up to {megabytes(round(load.at(FULL) * MONTH_S))} MB a "
            f"month; to stay within {megabytes(cap)} MB it does less: {in_words(held, load)}"
        )
        if load.at(held.strides) * MONTH_S > cap:
            yield (
                f"line {line.id} can't stay within {megabytes(cap)} MB a month: "
                f"raise budget.month_mb or schedule.period_s, or take out targets"
            )


def hold_days(
    config: Config,
    targets: Sequence[Target],
    lines: Sequence[Line],
    *,
    used_bytes: int,
    backlog: int,
    free_bytes: int,
) -> int | None:
    """Return how many days of records the store can take at least if nothing can be sent.

    What the server has makes room; None where nothing is measured.

    Args:
        used_bytes: what the store takes now.
        backlog: how many records the server lacks.
        free_bytes: what the disk has left.
    """
    uses = estimate(config, targets, lines).values()
    day_bytes = sum(use.records_per_day for use in uses) * RECORD_BYTES
    if not day_bytes:
        return None
    may_grow = max(0, free_bytes - config.store.min_free_bytes)
    room = min(config.store.max_bytes, used_bytes + may_grow) - backlog * RECORD_BYTES
    return max(0, room) // day_bytes


_WORDS = {
    Purpose.VITAL: "small checks of domestic and international targets",
    Purpose.LIGHT: "small checks of other targets",
    Purpose.HTTP: "http checks",
    Purpose.GOODPUT: "throughput checks",
    Purpose.UPLINK: "sending",
}


def in_words(held: Allowance, load: Load) -> str:
    """Return what a line holds back of its load, for people: `http checks 1/4 as often`."""
    told = [
        f"no {_WORDS[purpose]}" if stride is None else f"{_WORDS[purpose]} 1/{stride} as often"
        for purpose, stride in held.strides.items()
        if stride != 1 and (purpose is Purpose.UPLINK or purpose in load.checks)
    ]
    return ", ".join(told) or "nothing"


def _store_advice(config: Config, uses: Mapping[str, LineUse]) -> Iterator[str]:
    day_bytes = sum(use.records_per_day for use in uses.values()) * RECORD_BYTES
    if not day_bytes:
        return
    days = config.store.max_bytes // day_bytes
    if days < HOLD_DAYS_ADVISED:
        yield (
            f"the store would hold only {days} days of records without a server, less than "
            f"{HOLD_DAYS_ADVISED}: raise store.max_bytes ({config.store.max_bytes // MIB} MiB)"
        )


def megabytes(count: int) -> str:
    """Return a number of bytes in MB (10**6 bytes, as SIM plans count) for people."""
    return f"{count / 1_000_000:,.0f}"


def _use(config: Config, targets: Sequence[Target], line: Line) -> LineUse:
    records = records_per_s(config, targets, line.families) * DAY_S
    month = load_of(config, targets, line.families).at(FULL) * MONTH_S
    if config.uplink.enabled and config.update.url and may_carry(line, config.update):
        month += LOOK_BYTES * MONTH_S / config.update.check_s + RELEASE_BYTES
    return LineUse(round(records), round(month))
