"""A small invented fleet and a day of it: for tests of pages, and for the picture in the docs.

Three probes with a fixed and a mobile line each. In that day mobile data goes
off for four hours, one fixed line loses what lies abroad, one probe loses power,
one has not handed over three hours yet, and one restarts with a vague clock.
Nothing is random: the same moment gives the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from linewatch_core.ids import BootId
from linewatch_core.records import (
    Anchor,
    AnchorSource,
    Body,
    BootStarted,
    Check,
    ConfigApplied,
    EvBody,
    Gap,
    GapReason,
    LineChanged,
    LineKind,
    Role,
    Roll,
    Sample,
    TargetNote,
)
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.queries import Queries
from linewatch_server.rebuild import rebuild
from tests.support.probes import Item, ProbeWriter, boot_id, store
from tests.support.records import TARGETS, Probed
from tests.support.segments import derived_bytes, recipient_secret

NOW_MS = 1_767_623_400_000
"""2026-01-05 14:30:00 Z."""
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
WINDOW_MS = 5 * MINUTE_MS
PERIOD_MS = 30_000
LINES = (("fixed-1", LineKind.FIXED, 0.0), ("mobile-1", LineKind.MOBILE, 28.0))
SENT = 10
_SEGMENT_RECORDS = 200

Failing = Callable[[str, Probed, int], str | None]
"""Line, target and moment in; the failure that all checks then have, or None."""


@dataclass(frozen=True, slots=True)
class Life:
    """One boot of a probe: when it ran, in UTC, and how well its clock was known."""

    name: str
    from_ms: int
    to_ms: int
    mono_ms: int
    anchor_error_ms: int = 20

    @property
    def boot(self) -> BootId:
        """The boot's id."""
        return boot_id(self.name)

    def mono(self, utc_ms: int) -> int:
        """Return what this boot's clock read at a moment."""
        return self.mono_ms + utc_ms - self.from_ms

    def anchors(self) -> Iterator[Anchor]:
        """Yield an anchor each half hour, from half a minute after the start."""
        source = AnchorSource.NTP if self.anchor_error_ms < 1_000 else AnchorSource.RTC
        for utc_ms in (*range(self.from_ms + PERIOD_MS, self.to_ms, 30 * MINUTE_MS), self.to_ms):
            yield Anchor(self.mono(utc_ms), utc_ms, self.anchor_error_ms, source)


def fill_day(directory: Path, *, now_ms: int = NOW_MS) -> Queries:
    """Archive and index a day that ends at `now_ms`: five-minute counts, then half an hour raw."""
    start = now_ms - 24 * HOUR_MS
    one = [Life("one", start, now_ms, 40 * HOUR_MS)]
    two = [
        Life("two a", start, now_ms - 16 * HOUR_MS, 90 * HOUR_MS),
        Life("two b", now_ms - 14 * HOUR_MS - 20 * MINUTE_MS, now_ms, 12_000),
    ]
    three = [
        Life("three a", start, now_ms - 12 * HOUR_MS, 70 * HOUR_MS),
        Life("three b", now_ms - 12 * HOUR_MS + 2 * MINUTE_MS, now_ms, 15_000, 25 * MINUTE_MS),
    ]
    items: list[Item] = []
    for label, lives in (("one", one), ("two", two), ("three", three)):
        writer = ProbeWriter(label)
        items += [writer.enrolment(), *_events(writer, lives)]
        rolls = [
            segment
            for life in lives
            for segment in _closed(writer, life, list(_rolls(life, _story(label, now_ms))))
        ]
        items += rolls[:12] + rolls[16:] if label == "three" else rolls
        items += _raw(writer, lives[-1], _story(label, now_ms), now_ms)
    return _index(directory, items, now_ms)


def fill_half_hour(directory: Path, *, now_ms: int = NOW_MS) -> Queries:
    """Archive and index one probe's first half hour: 25 minutes of samples, 8 of them dark."""
    life = Life("first", now_ms - 26 * MINUTE_MS, now_ms, 30_000)
    writer = ProbeWriter("first")

    def failing(line: str, target: Probed, utc_ms: int) -> str | None:
        dark = now_ms - 14 * MINUTE_MS <= utc_ms < now_ms - 6 * MINUTE_MS
        if dark and line == "mobile-1" and target.role is not Role.GATEWAY:
            return "generic_timeout_error"
        return None

    items: list[Item] = [writer.enrolment(), *_events(writer, [life])]
    items += [*_raw(writer, life, failing, now_ms)]
    return _index(directory, items, now_ms)


def queries_of(directory: Path) -> Queries:
    """Return questions on a directory, with the key that opens its records."""
    return Queries(directory, recipient_secrets=[recipient_secret("fleet")])


def _index(directory: Path, items: Sequence[Item], now_ms: int) -> Queries:
    with ArchiveWriter(directory) as archive:
        store(archive, *items, at_ms=now_ms - 40_000)
    rebuild(directory, recipient_secrets=[recipient_secret("fleet")])
    return queries_of(directory)


def _story(label: str, now_ms: int) -> Failing:
    def failing(line: str, target: Probed, utc_ms: int) -> str | None:
        hours = (now_ms - utc_ms) / HOUR_MS
        outside = target.role is not Role.GATEWAY
        if line == "mobile-1" and outside and 5 < hours <= 9:
            return "generic_timeout_error"
        if label == "one" and line == "fixed-1" and 6 < hours <= 8:
            abroad = target.role in {Role.INTERNATIONAL, Role.NEUTRAL, Role.SENSITIVE}
            return "connection_reset" if abroad else None
        if label == "two" and target.role is Role.SENSITIVE and hours <= 5:
            return "dns_nxdomain_error"
        return None

    return failing


def _noise(*what: object) -> float:
    """Return a number from 0 to 1 that stands for chance."""
    return int.from_bytes(derived_bytes(repr(what), 4)) / 2**32


def _events(writer: ProbeWriter, lives: Sequence[Life]) -> Iterator[bytes]:
    notes = tuple(TargetNote(t.id, t.role, (t.check,)) for t in TARGETS)
    before = None
    for life in lives:
        at = life.mono(life.from_ms)
        bodies: list[EvBody] = [
            BootStarted(at, "0.1.0"),
            ConfigApplied(at + 1, "0" * 64, PERIOD_MS, notes),
            *(LineChanged(at + 2, line, kind, True, (4, 6)) for line, kind, _ in LINES),
        ]
        if before is not None:
            ended = before.mono(before.to_ms)
            bodies.append(Gap(at + 3, GapReason.REBOOTED, before.boot, ended, at))
        bodies += life.anchors()
        if life.to_ms - life.from_ms > 12 * HOUR_MS:
            off, on = (life.mono(life.to_ms - hours * HOUR_MS) for hours in (9, 5))
            bodies.append(LineChanged(off, "mobile-1", LineKind.MOBILE, True, (4,), ("no_route",)))
            bodies.append(LineChanged(on, "mobile-1", LineKind.MOBILE, True, (4, 6)))
        yield from _closed(writer, life, sorted(bodies, key=lambda body: body.mono_ms))
        before = life


def _rolls(life: Life, failing: Failing) -> Iterator[Roll]:
    first, last = (life.mono(at) // WINDOW_MS for at in (life.from_ms, life.to_ms))
    for window in range(first + 1, last):
        utc_ms = life.from_ms + window * WINDOW_MS - life.mono_ms + WINDOW_MS // 2
        for line, _, delay_ms in LINES:
            for target in TARGETS:
                yield _roll(
                    window,
                    line,
                    target,
                    delay_ms=delay_ms,
                    failure=failing(line, target, utc_ms),
                    name=life.name,
                )


def _roll(
    window: int, line: str, target: Probed, *, delay_ms: float, failure: str | None, name: str
) -> Roll:
    lost = int(_noise(name, window, line, target.id) < 0.06)
    answered = 0 if failure else SENT - lost
    rtt_us = int(1000 * (target.base_ms + delay_ms + 4 * _noise(window, target.id))) // 10 * 10
    return Roll(
        mono_ms=(window + 1) * WINDOW_MS + 6_000,
        window=window,
        line=line,
        target=target.id,
        check=target.check,
        sent=SENT,
        answered=answered,
        failures={failure or "generic_timeout_error": SENT - answered} if answered < SENT else {},
        rtt_min_us=rtt_us if answered else None,
        rtt_median_us=rtt_us + 1_200 if answered else None,
        rtt_p95_us=rtt_us + 9_000 if answered else None,
    )


def _raw(writer: ProbeWriter, life: Life, failing: Failing, now_ms: int) -> Iterator[bytes]:
    begins = max(life.from_ms + 2_000, now_ms - 30 * MINUTE_MS)
    yield from _closed(writer, life, list(_samples(life, failing, begins, life.to_ms - 5_000)))


def _samples(life: Life, failing: Failing, from_ms: int, to_ms: int) -> Iterator[Sample]:
    for utc_ms in range(from_ms, to_ms, PERIOD_MS):
        for line, _, delay_ms in LINES:
            for place, target in enumerate(TARGETS):
                slot_ms = life.mono(utc_ms) + 40 * place
                chance = _noise(utc_ms, line, target.id)
                failure = failing(line, target, utc_ms)
                if failure is None and chance < 0.01:
                    failure = "generic_timeout_error"
                rtt_us = int(1000 * (target.base_ms + delay_ms + 5 * chance)) // 10 * 10
                yield Sample(
                    mono_ms=slot_ms + 1,
                    slot_ms=slot_ms,
                    round_ms=life.mono(utc_ms),
                    line=line,
                    target=target.id,
                    check=target.check,
                    family=target.family,
                    failure=failure,
                    rtt_us=None if failure else rtt_us,
                    timings_us=(6_000, 9_000, 12_000, rtt_us, 300)
                    if target.check is Check.HTTP and failure is None
                    else (),
                    address=target.address,
                )


def _closed(writer: ProbeWriter, life: Life, bodies: Sequence[Body]) -> Iterator[bytes]:
    waiting = iter(bodies)
    while block := list(islice(waiting, _SEGMENT_RECORDS)):
        yield writer.close(life.boot, block)
