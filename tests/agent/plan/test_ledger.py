"""The byte ledger of a line: what it counts, when its month begins, how it is kept."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.ledger import (
    DAY_MS,
    RUNNING_MONTH_MS,
    LineLedger,
    Purpose,
    advance,
    decode_ledgers,
    encode_ledgers,
    purpose_of,
    spend,
)
from linewatch_core.errors import MalformedError
from linewatch_core.records import Check, Role
from linewatch_core.timebase import Interval

UNKNOWN = Interval(None, None)
HOUR_MS = 3_600_000
NOVEMBER_2026 = 12 * 56 + 10


def utc(text: str, *, width_ms: int = 0) -> Interval:
    """Return the interval that begins at an ISO time of UTC."""
    at_ms = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000
    return Interval(at_ms, at_ms + width_ms)


@pytest.mark.parametrize(
    ("check", "role", "purpose"),
    [
        (Check.ICMP, Role.DOMESTIC, Purpose.VITAL),
        (Check.TCP, Role.INTERNATIONAL, Purpose.VITAL),
        (Check.DNS, Role.INTERNATIONAL, Purpose.VITAL),
        (Check.TRACE, Role.SENSITIVE, Purpose.VITAL),
        (Check.DNS, Role.RESOLVER, Purpose.LIGHT),
        (Check.TCP, Role.SENSITIVE, Purpose.LIGHT),
        (Check.HTTP, Role.PORTAL, Purpose.LIGHT),
        (Check.HTTP, Role.DOMESTIC, Purpose.HTTP),
        (Check.SNI, Role.SENSITIVE, Purpose.HTTP),
        (Check.THROUGHPUT, Role.INTERNATIONAL, Purpose.GOODPUT),
        (Check.ICMP, Role.GATEWAY, None),
    ],
)
def test_what_a_check_is_spent_on(check: Check, role: Role, purpose: Purpose | None) -> None:
    """Small checks of the anchor sets are vital; the gateway's stay in the home."""
    assert purpose_of(check, role) is purpose


def test_spending_adds_up_per_purpose() -> None:
    """Bytes of each purpose are kept apart; what costs nothing leaves the ledger as it is."""
    ledger = LineLedger()
    for purpose, count in ((Purpose.VITAL, 73), (Purpose.UPLINK, 900), (Purpose.VITAL, 27)):
        ledger = spend(ledger, purpose, count)
    assert ledger.spent == {Purpose.VITAL: 100, Purpose.UPLINK: 900}
    assert ledger.spent_bytes == 1000
    assert spend(ledger, None, 50) is ledger
    assert spend(ledger, Purpose.HTTP, 0) is ledger


def test_a_calendar_month_begins_with_nothing_spent() -> None:
    """On the first of the month, UTC; and its length is its own."""
    ledger = spend(
        advance(LineLedger(), elapsed_ms=0, utc=utc("2026-11-30T23:00")), Purpose.VITAL, 9
    )
    assert (ledger.month, ledger.remaining_ms) == (NOVEMBER_2026, HOUR_MS)
    ledger = advance(ledger, elapsed_ms=HOUR_MS, utc=utc("2026-12-01T00:00"))
    assert (ledger.month, ledger.spent_bytes) == (NOVEMBER_2026 + 1, 0)
    assert ledger.remaining_ms == 31 * DAY_MS


def test_without_a_date_a_month_is_thirty_days_of_running() -> None:
    """A machine that is off spends nothing, so only running time counts."""
    ledger = spend(LineLedger(), Purpose.VITAL, 9)
    ledger = advance(ledger, elapsed_ms=RUNNING_MONTH_MS - 1, utc=UNKNOWN)
    assert (ledger.spent_bytes, ledger.remaining_ms) == (9, 1)
    ledger = advance(ledger, elapsed_ms=11, utc=UNKNOWN)
    assert (ledger.month, ledger.into_ms, ledger.spent_bytes) == (None, 10, 0)


def test_a_date_that_becomes_known_keeps_what_was_spent() -> None:
    """It may have been spent in the present month."""
    ledger = spend(advance(LineLedger(), elapsed_ms=DAY_MS, utc=UNKNOWN), Purpose.HTTP, 7)
    ledger = advance(ledger, elapsed_ms=0, utc=utc("2026-11-11T00:00"))
    assert (ledger.month, ledger.into_ms, ledger.spent_bytes) == (NOVEMBER_2026, 10 * DAY_MS, 7)


def test_a_date_that_gets_lost_is_counted_on() -> None:
    """Running time carries a known month to its end and into the next."""
    ledger = advance(LineLedger(), elapsed_ms=0, utc=utc("2026-11-30T00:00"))
    ledger = advance(spend(ledger, Purpose.VITAL, 5), elapsed_ms=DAY_MS - 1, utc=UNKNOWN)
    assert (ledger.month, ledger.spent_bytes) == (NOVEMBER_2026, 5)
    ledger = advance(ledger, elapsed_ms=1, utc=UNKNOWN)
    assert (ledger.month, ledger.into_ms, ledger.spent_bytes) == (NOVEMBER_2026 + 1, 0, 0)


@pytest.mark.parametrize(
    "poor",
    [
        utc("2026-12-01T00:00", width_ms=DAY_MS + 1),
        Interval(*(utc("2026-12-05T00:00").lo_ms,) * 2, disputed=True),
        Interval(None, utc("2026-12-05T00:00").hi_ms),
        Interval(-5, -5),
        Interval(10**18, 10**18),
    ],
)
def test_a_poor_clock_begins_no_month(poor: Interval) -> None:
    """Too vague, disputed, open or absurd: running time counts on."""
    ledger = spend(
        advance(LineLedger(), elapsed_ms=0, utc=utc("2026-11-11T00:00")), Purpose.VITAL, 5
    )
    after = advance(ledger, elapsed_ms=HOUR_MS, utc=poor)
    assert (after.month, after.spent_bytes) == (NOVEMBER_2026, 5)
    assert after.into_ms == ledger.into_ms + HOUR_MS


def test_an_interval_over_two_months_is_still_the_first() -> None:
    """A budget is not given out before the month has surely begun."""
    ledger = advance(LineLedger(), elapsed_ms=0, utc=utc("2026-11-30T23:59", width_ms=HOUR_MS))
    assert ledger.month == NOVEMBER_2026


INTERVALS = st.one_of(
    st.just(UNKNOWN),
    st.integers(0, 4 * 10**12).map(lambda at: Interval(at, at + 60_000)),
    st.integers(-(2**62), 2**62).map(lambda at: Interval(at, at)),
)


@given(st.lists(st.tuples(st.integers(0, 10**10), INTERVALS, st.integers(0, 10**9))))
def test_a_month_never_goes_back(steps: list[tuple[int, Interval, int]]) -> None:
    """Whatever clocks say: months ascend, and within one nothing that was spent is forgotten."""
    ledger = LineLedger()
    for elapsed_ms, when, count in steps:
        before = spend(ledger, Purpose.VITAL, count)
        ledger = advance(before, elapsed_ms=elapsed_ms, utc=when)
        assert (ledger.month or 0) >= (before.month or 0)
        assert ledger.remaining_ms >= 0
        if ledger.month == before.month and ledger.month is not None:
            assert ledger.spent_bytes == before.spent_bytes


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.builds(
            LineLedger,
            month=st.none() | st.integers(0, 1000),
            into_ms=st.integers(0, 2**50),
            spent=st.dictionaries(st.sampled_from(Purpose), st.integers(0, 2**60)),
        ),
    )
)
def test_ledgers_survive_a_restart(ledgers: dict[str, LineLedger]) -> None:
    """What is written reads back as it was."""
    assert decode_ledgers(encode_ledgers(ledgers)) == ledgers


@given(st.binary())
def test_any_bytes_give_ledgers_or_an_error(data: bytes) -> None:
    """A damaged file is one error, and the agent begins with empty ledgers."""
    found: dict[str, LineLedger] = {}
    with suppress(MalformedError):
        found = decode_ledgers(data)
    assert decode_ledgers(encode_ledgers(found)) == found


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": {"month": -1}}',
        b'{"a": {"into_ms": -1}}',
        b'{"a": {"spent": {"beer": 1}}}',
        b'{"a": {"spent": {"vital": -1}}}',
        b'{"a": {"month": 999999}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_absurd_ledgers_are_refused(data: bytes) -> None:
    """Negative counts, unknown purposes and far centuries come from no agent."""
    with pytest.raises(MalformedError, match="cannot read the data ledger"):
        decode_ledgers(data)
