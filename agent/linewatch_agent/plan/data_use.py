"""Estimate what a configuration costs each line: records a day, bytes a month.

Pure and rough, for people before they start a probe; the agent counts the real
bytes as it goes. Source of the sizes: docs/configuration.md, "Data use".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from linewatch_agent.plan.line import Line
from linewatch_agent.plan.settings import MIB, Config
from linewatch_core.records import Check, LineKind, Role
from linewatch_core.targets import Target

DAY_S = 86_400
MONTH_S = 30 * DAY_S

ICMP_BYTES = 73
DNS_BYTES = 200
TCP_BYTES = 300
HTTP_BYTES = 900
"""A plain request answered by 204 and no body."""
TLS_BYTES = 4_700
"""What a handshake adds, mostly the server's certificates."""
BODY_BYTES = 64 * 1024
"""As much of a page as the http check reads: a page's length is not known beforehand."""
KEEPALIVE_BYTES = 185

RECORD_BYTES = 6
"""A sample in a full segment, sealed and signed: the bar of docs/wire-format.md."""

MONTH_BYTES_ADVISED = 150_000_000
HOLD_DAYS_ADVISED = 90


@dataclass(frozen=True, slots=True)
class LineUse:
    """What a configuration costs one line, at most."""

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
    return {line.id: _use(config, targets, line.families or (4,)) for line in lines}


def advice(config: Config, targets: Sequence[Target], lines: Sequence[Line]) -> tuple[str, ...]:
    """Return warnings, one sentence each: legal settings that may not be meant."""
    uses = estimate(config, targets, lines)
    return (*_data_advice(lines, uses), *_store_advice(config, uses))


def _data_advice(lines: Sequence[Line], uses: Mapping[str, LineUse]) -> Iterator[str]:
    for line in lines:
        month = uses[line.id].bytes_per_month
        if line.kind is LineKind.MOBILE and month > MONTH_BYTES_ADVISED:
            yield (
                f"line {line.id} would use up to {megabytes(month)} MB of mobile data a month, "
                f"more than {megabytes(MONTH_BYTES_ADVISED)}: "
                f"raise schedule.period_s or take out http targets"
            )


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


def _use(config: Config, targets: Sequence[Target], families: Sequence[int]) -> LineUse:
    records = 0
    round_bytes = 0
    for target in targets:
        times = len(set(families) & set(target.families))
        records += times * len(target.checks)
        if target.role is not Role.GATEWAY:
            round_bytes += times * sum(_check_bytes(check, target) for check in target.checks)
    rounds_a_day = DAY_S / config.schedule.period_s
    month = round_bytes * rounds_a_day * 30
    if config.uplink.enabled:
        month += KEEPALIVE_BYTES * MONTH_S / config.uplink.keepalive_s
    return LineUse(round(records * rounds_a_day), round(month))


def _check_bytes(check: Check, target: Target) -> int:
    match check:
        case Check.ICMP:
            return ICMP_BYTES
        case Check.DNS:
            return DNS_BYTES
        case Check.TCP:
            return TCP_BYTES
        case Check.HTTP:
            plain = target.url is not None and target.url.lower().startswith("http://")
            body = 0 if target.role is Role.PORTAL else BODY_BYTES
            return HTTP_BYTES + (0 if plain else TLS_BYTES) + body
