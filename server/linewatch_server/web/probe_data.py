"""One probe over one time range: its targets' figures, from samples where the range is short."""

from collections import defaultdict
from dataclasses import dataclass

from linewatch_core.ids import ProbeId
from linewatch_core.records import ROLL_WINDOW_MS, UNCOUNTED, Role
from linewatch_server.model.rollup import Tally, tally_samples
from linewatch_server.model.strips import is_uncertain
from linewatch_server.model.target_views import target_views
from linewatch_server.model.views import LineView, ProbeView, SampleRow, TargetView
from linewatch_server.web.questions import Questions
from linewatch_server.web.ranges import HOUR_MS, MINUTE_MS, TimeRange
from linewatch_server.web.refusals import NotFoundError

EXACT_MS_MAX = 30 * MINUTE_MS
"""Up to this, samples are counted one by one: five-minute windows would blur the edges."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the checks of one line gave; `from_samples` tells how they were counted."""

    targets: tuple[TargetView, ...]
    from_samples: bool

    @property
    def sent(self) -> int:
        """How many checks ran, those of the line's own gateway left out."""
        return sum(target.sent for target in self.beyond)

    @property
    def beyond(self) -> tuple[TargetView, ...]:
        """What lies beyond the line's own gateway, which answers though all else is dead."""
        return tuple(target for target in self.targets if target.role is not Role.GATEWAY)

    @property
    def estimated(self) -> bool:
        """Whether some times are estimated from five-minute counts."""
        return any(target.rtt is not None and not target.rtt.exact for target in self.targets)

    @property
    def answered(self) -> int:
        """How many of them answered."""
        return sum(target.answered for target in self.beyond)


def find_probe(questions: Questions, probe: ProbeId) -> ProbeView:
    """Return what is stored of a probe, or raise NotFoundError."""
    for view in questions.fleet():
        if view.probe == probe:
            return view
    raise NotFoundError(f"cannot show probe {probe}: it is not enrolled here")


def check_line(lines: tuple[LineView, ...], line: str) -> None:
    """Refuse a line that none of the probe's descriptions names."""
    known = [view.line for view in lines]
    if line not in known:
        listed = ", ".join(known) or "not known yet"
        raise NotFoundError(f"cannot show line {line}: the lines of this probe are {listed}")


def count_targets(questions: Questions, probe: ProbeId, line: str, wanted: TimeRange) -> Counted:
    """Return what each check of each target gave on a line.

    A range of up to EXACT_MS_MAX is counted from samples, unless most of them
    have not arrived; else whole five-minute windows count, by their middle.
    """
    windows = Counted(questions.targets(probe, line, wanted.from_ms, wanted.to_ms), False)
    if wanted.length_ms > EXACT_MS_MAX:
        return windows
    rows = [
        row
        for row in questions.samples(probe, line, wanted.from_ms, wanted.to_ms)
        if row.at.middle_ms is not None
        and wanted.from_ms <= row.at.middle_ms < wanted.to_ms
        and row.sample.check not in UNCOUNTED
    ]
    made = sum(target.sent for target in windows.targets)
    # A range shorter than two windows says little about how many checks there should be.
    most_missing = wanted.length_ms >= 2 * ROLL_WINDOW_MS and 2 * len(rows) < made
    if not rows or most_missing:
        return windows
    around = (wanted.from_ms - HOUR_MS, wanted.to_ms + HOUR_MS)
    roles = {view.target: view.role for view in questions.targets(probe, line, *around)}
    return Counted(_count(rows, roles), True)


def _count(rows: list[SampleRow], roles: dict[str, Role | None]) -> tuple[TargetView, ...]:
    parts: defaultdict[tuple[str, str], list[Tally]] = defaultdict(list)
    for series, tally in tally_samples(row.sample for row in rows).items():
        parts[series.target, series.check].append(tally)
    unsure = {(r.sample.target, r.sample.check) for r in rows if is_uncertain(r.at, MINUTE_MS)}
    return target_views(parts, roles, unsure)
