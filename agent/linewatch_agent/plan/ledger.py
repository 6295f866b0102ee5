"""The byte ledger of one line: what was spent this month, on what; and which month it is.

Pure: values in, values out; the shell feeds it outcomes and time, and keeps it over
restarts as bytes. A month is UTC's where the time is known, else 30 days of running.
Invariant: a month never goes back, so a wrong clock can't spend a month's data twice.
Source: docs/configuration.md, "The data budget".
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec

from linewatch_core.errors import MalformedError
from linewatch_core.records import Check, Role
from linewatch_core.timebase import Interval

DAY_MS = 86_400_000
RUNNING_MONTH_MS = 30 * DAY_MS
"""A month where nobody knows the date: a machine that is off spends nothing, so counting
its running time alone can only make a month longer than the SIM's."""
TRUSTED_WIDTH_MS = DAY_MS
"""Time known worse than this says nothing of the month."""
YEAR_ZERO = 1970
YEAR_LAST = 9998
_EPOCH = datetime(YEAR_ZERO, 1, 1, tzinfo=UTC)

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Purpose(StrEnum):
    """What data is spent on.

    VITAL: icmp, tcp and dns of domestic and international targets, and the trace of a
    transition: what a verdict can't be without. LIGHT: the small checks of all other
    targets, and the captive portal checks. HTTP: pages, handshakes, alternations.
    GOODPUT: the throughput check. UPLINK: what the sync sends and gets.
    """

    VITAL = "vital"
    LIGHT = "light"
    HTTP = "http"
    GOODPUT = "goodput"
    UPLINK = "uplink"


_SMALL = (Check.ICMP, Check.TCP, Check.DNS, Check.NEIGHBOUR, Check.RANDOM_NAME)


def purpose_of(check: Check, role: Role) -> Purpose | None:
    """Return what a check's bytes are spent on; None for the gateway's: it costs no data."""
    if role is Role.GATEWAY:
        return None
    if check is Check.TRACE:
        return Purpose.VITAL
    if check is Check.THROUGHPUT:
        return Purpose.GOODPUT
    if check not in _SMALL and role is not Role.PORTAL:
        return Purpose.HTTP
    return Purpose.VITAL if role in (Role.DOMESTIC, Role.INTERNATIONAL) else Purpose.LIGHT


class LineLedger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line's month so far; a new line's is `LineLedger()`.

    Attributes:
        month: months since January 1970 (UTC); None while the date was never known.
        into_ms: how much of the month is over: of the calendar's where known, else
            the time that the agent ran.
        spent: bytes both ways, per purpose.
    """

    month: Annotated[int, msgspec.Meta(ge=0, le=12 * (YEAR_LAST - YEAR_ZERO))] | None = None
    into_ms: Count = 0
    spent: dict[Purpose, Count] = {}

    @property
    def spent_bytes(self) -> int:
        """What was spent this month in all."""
        return sum(self.spent.values())

    @property
    def remaining_ms(self) -> int:
        """How much of the month is left."""
        return max(0, _length_ms(self.month) - self.into_ms)


def spend(ledger: LineLedger, purpose: Purpose | None, count: int) -> LineLedger:
    """Return the ledger after `count` bytes (out and in) went to `purpose`; None costs nothing."""
    if purpose is None or count <= 0:
        return ledger
    spent = {**ledger.spent, purpose: ledger.spent.get(purpose, 0) + count}
    return msgspec.structs.replace(ledger, spent=spent)


def advance(ledger: LineLedger, *, elapsed_ms: int, utc: Interval) -> LineLedger:
    """Return the ledger after `elapsed_ms` of running time, at a moment within `utc`.

    A new month begins with nothing spent. Where the interval straddles two months it is
    still the earlier one; where the time is unknown or disputed, running time counts on
    from what was last known.
    """
    known_ms = _trusted_ms(utc)
    if known_ms is not None:
        month, into_ms = _place(known_ms)
        if ledger.month is None or month == ledger.month:
            # What was spent before the date was known may have been spent in this month.
            return LineLedger(month, into_ms, ledger.spent)
        if month > ledger.month:
            return LineLedger(month, into_ms)
    into_ms = ledger.into_ms + max(0, elapsed_ms)
    length_ms = _length_ms(ledger.month)
    if into_ms < length_ms:
        return msgspec.structs.replace(ledger, into_ms=into_ms)
    month_after = None if ledger.month is None else ledger.month + 1
    return LineLedger(month_after, min(into_ms - length_ms, _length_ms(month_after) - 1))


def encode_ledgers(ledgers: dict[str, LineLedger]) -> bytes:
    """Return the ledgers of all lines, by line id, as bytes to keep over a restart."""
    return msgspec.json.encode(ledgers)


def decode_ledgers(data: bytes) -> dict[str, LineLedger]:
    """Return what `encode_ledgers` was given.

    Raises:
        MalformedError: the bytes are something else; begin with empty ledgers then.
    """
    try:
        return msgspec.json.decode(data, type=dict[str, LineLedger])
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise MalformedError("cannot read the data ledger: not what the agent wrote") from None


def _trusted_ms(utc: Interval) -> int | None:
    """Return the earliest moment that it can be, or None if the time isn't good enough."""
    width = utc.width_ms
    if utc.lo_ms is None or width is None or width > TRUSTED_WIDTH_MS or utc.disputed:
        return None
    return utc.lo_ms if 0 <= utc.lo_ms < _start_ms(12 * (YEAR_LAST - YEAR_ZERO)) else None


def _place(utc_ms: int) -> tuple[int, int]:
    """Return the month that a moment lies in, and how far into it, in ms."""
    moment = _EPOCH + timedelta(milliseconds=utc_ms)
    month = 12 * (moment.year - YEAR_ZERO) + moment.month - 1
    return month, utc_ms - _start_ms(month)


def _start_ms(month: int) -> int:
    years, months = divmod(month, 12)
    return int(datetime(YEAR_ZERO + years, months + 1, 1, tzinfo=UTC).timestamp()) * 1000


def _length_ms(month: int | None) -> int:
    if month is None:
        return RUNNING_MONTH_MS
    return _start_ms(month + 1) - _start_ms(month)
