"""The index's `ev` records as views: placed in UTC, filtered by time, in order."""

from collections.abc import Callable, Iterable
from sqlite3 import Connection
from typing import TypeVar

from linewatch_core.ids import ProbeId
from linewatch_core.timebase import Interval
from linewatch_server.index import reads
from linewatch_server.model.clock import ProbeClock
from linewatch_server.model.strips import PlacedGap
from linewatch_server.model.views import (
    BudgetView,
    EventsView,
    GapView,
    LineChangeView,
    LineView,
    ModemView,
    ResetView,
    TransitionView,
)

_View = TypeVar("_View", TransitionView, GapView, LineChangeView, BudgetView, ResetView)


def lines_of(
    db: Connection, probe: ProbeId, *, clock: ProbeClock | None = None
) -> tuple[LineView, ...]:
    """Return the lines of a probe as it last described them, by their id.

    Of descriptions in several epochs the one placed latest counts.
    """
    clock = clock or reads.clock(db, probe)
    last_of_epoch = {
        (body.line, row.epoch): (row, body) for row, body in reads.line_changes(db, probe)
    }
    budget, modems = _budget(db, probe, clock), _modems(db, probe, clock)
    latest: dict[str, LineView] = {}
    for (line, _), (row, body) in sorted(last_of_epoch.items(), key=lambda item: item[0]):
        view = LineView(
            probe=probe,
            line=line,
            kind=body.kind,
            usable=body.usable,
            families=body.families,
            problems=body.problems,
            since=clock.place(row.epoch, row.boot, body.mono_ms),
            operator=body.operator,
            budget_step=budget[line].step if line in budget else 0,
            budget_since=budget[line].at if line in budget else None,
            modem=modems.get(line),
        )
        if line not in latest or _bound(view.since) >= _bound(latest[line].since):
            latest[line] = view
    return tuple(view for _, view in sorted(latest.items()))


def _budget(db: Connection, probe: ProbeId, clock: ProbeClock) -> dict[str, BudgetView]:
    """Return the last step of saving data per line; of several epochs the one placed latest."""
    last = {(view.line, view.epoch): view for view in _budget_views(db, probe, clock)}
    return {view.line: view for view in sorted(last.values(), key=lambda view: _bound(view.at))}


def _modems(db: Connection, probe: ProbeId, clock: ProbeClock) -> dict[str, ModemView]:
    """Return what the modem of each line said last; of several boots the one placed latest."""
    found: dict[str, ModemView] = {}
    for row, line, mono_ms, said in reads.modem_states(db, probe):
        at = clock.place(row.epoch, row.boot, mono_ms)
        if line not in found or _bound(at) >= _bound(found[line].at):
            fields = {name: getattr(said, name) for name in said.__struct_fields__}
            found[line] = ModemView(at=at, **fields)
    return found


def _bound(at: Interval) -> int:
    return at.lo_ms if at.lo_ms is not None else at.hi_ms or 0


def placed_gaps(db: Connection, probe: ProbeId, clock: ProbeClock) -> list[PlacedGap]:
    """Return every gap of a probe, placed."""
    return [
        PlacedGap(probe, gap.line, gap.reason, gap.begins, gap.ends)
        for gap in _gap_views(db, probe, clock)
    ]


def events_of(db: Connection, probes: Iterable[ProbeId], from_ms: int, to_ms: int) -> EventsView:
    """Return what can lie in [from_ms, to_ms], each kind in order of time."""
    transitions: list[TransitionView] = []
    gaps: list[GapView] = []
    changes: list[LineChangeView] = []
    budget: list[BudgetView] = []
    resets: list[ResetView] = []
    for probe in probes:
        clock = reads.clock(db, probe)
        transitions += _transition_views(db, probe, clock)
        gaps += _gap_views(db, probe, clock)
        changes += _change_views(db, probe, clock)
        budget += _budget_views(db, probe, clock)
        resets += _reset_views(db, probe, clock)
    return EventsView(
        transitions=_within(transitions, from_ms, to_ms, lambda v: (v.earliest, v.latest)),
        gaps=_within(gaps, from_ms, to_ms, lambda v: (v.begins, v.ends)),
        line_changes=_within(changes, from_ms, to_ms, lambda v: (v.at, v.at)),
        budget_steps=_within(budget, from_ms, to_ms, lambda v: (v.at, v.at)),
        modem_resets=_within(resets, from_ms, to_ms, lambda v: (v.at, v.at)),
    )


def _within(
    views: Iterable[_View],
    from_ms: int,
    to_ms: int,
    span: Callable[[_View], tuple[Interval, Interval]],
) -> tuple[_View, ...]:
    kept = []
    for view in views:
        begins, ends = span(view)
        early_enough = begins.lo_ms is None or begins.lo_ms <= to_ms
        if early_enough and (ends.hi_ms is None or ends.hi_ms >= from_ms):
            bound = begins.lo_ms if begins.lo_ms is not None else ends.hi_ms
            kept.append((bound is None, bound or 0, view.probe, view.epoch, view.seq, view))
    return tuple(row[-1] for row in sorted(kept, key=lambda row: row[:-1]))


def _transition_views(db: Connection, probe: ProbeId, clock: ProbeClock) -> list[TransitionView]:
    return [
        TransitionView(
            probe=probe,
            epoch=row.epoch,
            seq=row.seq,
            line=body.line,
            target=body.target,
            before=body.before,
            after=body.after,
            earliest=clock.place(row.epoch, row.boot, body.earliest_ms),
            latest=clock.place(row.epoch, row.boot, body.latest_ms),
            rule=body.rule,
            rule_version=body.rule_version,
            samples=body.samples,
        )
        for row, body in reads.transitions(db, probe)
    ]


def _gap_views(db: Connection, probe: ProbeId, clock: ProbeClock) -> list[GapView]:
    return [
        GapView(
            probe=probe,
            epoch=row.epoch,
            seq=row.seq,
            reason=body.reason,
            line=body.line,
            begins=clock.place(row.epoch, body.from_boot, body.from_ms),
            ends=clock.place(row.epoch, row.boot, body.to_ms),
            stream=body.stream,
            first_seq=body.first_seq,
            last_seq=body.last_seq,
        )
        for row, body in reads.gaps(db, probe)
    ]


def _change_views(db: Connection, probe: ProbeId, clock: ProbeClock) -> list[LineChangeView]:
    return [
        LineChangeView(
            probe=probe,
            epoch=row.epoch,
            seq=row.seq,
            line=body.line,
            kind=body.kind,
            usable=body.usable,
            families=body.families,
            problems=body.problems,
            operator=body.operator,
            at=clock.place(row.epoch, row.boot, body.mono_ms),
        )
        for row, body in reads.line_changes(db, probe)
    ]


def _budget_views(db: Connection, probe: ProbeId, clock: ProbeClock) -> list[BudgetView]:
    return [
        BudgetView(
            probe=probe,
            epoch=row.epoch,
            seq=row.seq,
            line=body.line,
            step=body.step,
            at=clock.place(row.epoch, row.boot, body.mono_ms),
        )
        for row, body in reads.budget_steps(db, probe)
    ]


def _reset_views(db: Connection, probe: ProbeId, clock: ProbeClock) -> list[ResetView]:
    return [
        ResetView(
            probe=probe,
            epoch=row.epoch,
            seq=row.seq,
            line=body.line,
            step=body.step,
            trouble=body.trouble,
            done=body.done,
            at=clock.place(row.epoch, row.boot, body.mono_ms),
        )
        for row, body in reads.modem_resets(db, probe)
    ]
