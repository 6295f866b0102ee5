"""SQL of the questions: each function is one SELECT over a snapshot, as typed rows."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from linewatch_core.ids import BootId, Epoch, ProbeId
from linewatch_core.intervals import SeqSet
from linewatch_core.modem_words import ModemDetail, ModemStep, ModemTrouble
from linewatch_core.records import (
    Anchor,
    AnchorSource,
    BudgetChanged,
    Gap,
    GapReason,
    LineChanged,
    LineKind,
    ModemReset,
    Role,
    Stream,
    TargetNote,
    Transition,
)
from linewatch_server.model.clock import BootSeen, MonoRange, ProbeClock
from linewatch_server.model.entries import Location

RollupRow: TypeAlias = tuple[int, str, str, str, int, int, str, bytes, bytes]
"""time_window, target, check, source, then what `contents.tally_of_row` takes."""


@dataclass(frozen=True, slots=True)
class EvRow:
    """Where a record stands in its stream."""

    epoch: Epoch
    seq: int
    boot: BootId


@dataclass(frozen=True, slots=True)
class RawSegment:
    """Where a segment of samples lies, how many it holds, and the range of its boot's clock."""

    location: Location
    epoch: Epoch
    boot: BootId
    count: int
    mono_first_ms: int
    mono_last_ms: int


def probes(db: sqlite3.Connection) -> list[ProbeId]:
    """Return every probe that is enrolled, or of which a segment is stored, or waits."""
    rows = db.execute(
        "SELECT probe FROM enrolments UNION SELECT probe FROM arrivals"
        " UNION SELECT probe FROM unverified ORDER BY probe"
    )
    return [ProbeId(probe) for (probe,) in rows]


def clock(db: sqlite3.Connection, probe: ProbeId) -> ProbeClock:
    """Return what places a probe's records in UTC."""
    seen = db.execute(
        "SELECT epoch, boot, ev_first_seq, mono_first_ms, mono_last_ms FROM boots WHERE probe = ?",
        (probe,),
    )
    anchors = db.execute(
        "SELECT boot, mono_ms, utc_ms, error_ms, source FROM anchors WHERE probe = ?", (probe,)
    )
    return ProbeClock(
        (BootSeen(*row) for row in seen),
        (
            (BootId(boot), Anchor(mono, utc, error, AnchorSource(source)))
            for boot, mono, utc, error, source in anchors
        ),
    )


def enrolled_ms(db: sqlite3.Connection, probe: ProbeId) -> int | None:
    """Return when a probe's first key was enrolled."""
    row = db.execute("SELECT min(arrival_ms) FROM enrolments WHERE probe = ?", (probe,)).fetchone()
    return None if row[0] is None else int(row[0])


def last_arrival_ms(db: sqlite3.Connection, probe: ProbeId) -> int | None:
    """Return when a segment of a probe last arrived."""
    row = db.execute("SELECT arrival_ms FROM arrivals WHERE probe = ?", (probe,)).fetchone()
    return None if row is None else int(row[0])


def coverage(db: sqlite3.Connection, probe: ProbeId) -> dict[tuple[Epoch, Stream], SeqSet]:
    """Return the numbers stored of a probe, by epoch and stream."""
    found: dict[tuple[Epoch, Stream], SeqSet] = {}
    for epoch, stream, first, last in db.execute(
        "SELECT epoch, stream, first_seq, last_seq FROM coverage WHERE probe = ?"
        " ORDER BY epoch, stream, first_seq",
        (probe,),
    ):
        found.setdefault((Epoch(epoch), Stream(stream)), SeqSet()).add(first, last)
    return found


def totals(db: sqlite3.Connection, probe: ProbeId) -> dict[tuple[str, str, str], int]:
    """Return how many records are stored, by epoch, stream and state."""
    rows = db.execute(
        "SELECT epoch, stream, state, records FROM stream_totals WHERE probe = ?", (probe,)
    )
    return {(epoch, stream, state): records for epoch, stream, state, records in rows}


def count_unverified(db: sqlite3.Connection, probe: ProbeId) -> int:
    """Return how many segments of a probe wait for a key."""
    sql = "SELECT count(*) FROM unverified WHERE probe = ?"
    return int(db.execute(sql, (probe,)).fetchone()[0])


def count_quarantined(db: sqlite3.Connection, probe: ProbeId) -> int:
    """Return how many messages of a probe are kept but not believed."""
    sql = "SELECT count(*) FROM quarantine WHERE probe = ?"
    return int(db.execute(sql, (probe,)).fetchone()[0])


def line_changes(db: sqlite3.Connection, probe: ProbeId) -> list[tuple[EvRow, LineChanged]]:
    """Return every description of a line, per epoch in order."""
    rows = db.execute(
        "SELECT epoch, seq, boot, mono_ms, line, kind, usable, families, problems, operator"
        " FROM line_changes WHERE probe = ? ORDER BY epoch, seq",
        (probe,),
    )
    return [
        (
            EvRow(epoch, seq, boot),
            LineChanged(
                mono,
                line,
                LineKind(kind),
                bool(usable),
                msgspec.json.decode(families, type=tuple[int, ...]),
                msgspec.json.decode(problems, type=tuple[str, ...]),
                operator,
            ),
        )
        for epoch, seq, boot, mono, line, kind, usable, families, problems, operator in rows
    ]


def budget_steps(db: sqlite3.Connection, probe: ProbeId) -> list[tuple[EvRow, BudgetChanged]]:
    """Return every step of saving data, per epoch in order."""
    rows = db.execute(
        "SELECT epoch, seq, boot, mono_ms, line, step FROM budget_steps"
        " WHERE probe = ? ORDER BY epoch, seq",
        (probe,),
    )
    return [(EvRow(epoch, seq, boot), BudgetChanged(*rest)) for epoch, seq, boot, *rest in rows]


def modem_resets(db: sqlite3.Connection, probe: ProbeId) -> list[tuple[EvRow, ModemReset]]:
    """Return everything that the probe did to its modems, per epoch in order."""
    rows = db.execute(
        "SELECT epoch, seq, boot, mono_ms, line, step, trouble, done FROM modem_resets"
        " WHERE probe = ? ORDER BY epoch, seq",
        (probe,),
    )
    return [
        (
            EvRow(epoch, seq, boot),
            ModemReset(mono, line, ModemStep(step), ModemTrouble(trouble), bool(done)),
        )
        for epoch, seq, boot, mono, line, step, trouble, done in rows
    ]


def modem_states(
    db: sqlite3.Connection, probe: ProbeId
) -> Iterator[tuple[EvRow, str, int, ModemDetail]]:
    """Yield what the modem of each line said last in each boot: where, line, mono_ms, what."""
    for epoch, seq, boot, line, mono_ms, detail in db.execute(
        "SELECT epoch, seq, boot, line, mono_ms, detail FROM modem_states"
        " WHERE probe = ? ORDER BY epoch, boot, line",
        (probe,),
    ):
        yield (
            EvRow(epoch, seq, boot),
            line,
            mono_ms,
            msgspec.json.decode(detail, type=ModemDetail),
        )


def gateways(db: sqlite3.Connection, probe: ProbeId) -> frozenset[str]:
    """Return the targets that any configuration of a probe called a gateway."""
    rows = db.execute("SELECT target FROM gateways WHERE probe = ?", (probe,))
    return frozenset(target for (target,) in rows)


def transitions(db: sqlite3.Connection, probe: ProbeId) -> list[tuple[EvRow, Transition]]:
    """Return every change of verdict, per epoch in order."""
    rows = db.execute(
        "SELECT epoch, seq, boot, mono_ms, line, target, verdict_before, verdict_after,"
        " earliest_ms, latest_ms, rule_name, rule_version, samples"
        " FROM transitions WHERE probe = ? ORDER BY epoch, seq",
        (probe,),
    )
    return [(EvRow(epoch, seq, boot), _transition(*columns)) for epoch, seq, boot, *columns in rows]


def _transition(*columns: Any) -> Transition:
    *plain, samples = columns
    values: list[Any] = [*plain, msgspec.json.decode(samples, type=tuple[int, ...])]
    return Transition(*values)


def gaps(db: sqlite3.Connection, probe: ProbeId) -> list[tuple[EvRow, Gap]]:
    """Return every gap that the probe told, per epoch in order."""
    rows = db.execute(
        "SELECT epoch, seq, boot, mono_ms, reason, from_boot, from_ms, to_ms, line, stream,"
        " first_seq, last_seq FROM gaps WHERE probe = ? ORDER BY epoch, seq",
        (probe,),
    )
    return [(EvRow(epoch, seq, boot), _gap(*columns)) for epoch, seq, boot, *columns in rows]


def _gap(mono_ms: int, reason: str, *rest: Any) -> Gap:
    from_boot, from_ms, to_ms, line, stream, first_seq, last_seq = rest
    known = None if stream is None else Stream(stream)
    return Gap(
        mono_ms, GapReason(reason), from_boot, from_ms, to_ms, line, known, first_seq, last_seq
    )


def roles(db: sqlite3.Connection, probe: ProbeId) -> dict[str, Role]:
    """Return the role of each target, of the newest configuration that names it."""
    rows = db.execute("SELECT targets FROM configs WHERE probe = ? ORDER BY epoch, seq", (probe,))
    found: dict[str, Role] = {}
    for (targets,) in rows:
        for note in msgspec.json.decode(targets, type=tuple[TargetNote, ...]):
            found[note.id] = note.role
    return found


def line_windows(
    db: sqlite3.Connection, probe: ProbeId, reach: MonoRange, *, windows: tuple[int, int]
) -> Iterator[tuple[int, str, int, int]]:
    """Return (time_window, line, sent, answered) of a boot's windows first..last."""
    yield from db.execute(
        "SELECT time_window, line, sent, answered FROM line_windows WHERE probe = ? AND epoch = ?"
        " AND boot = ? AND time_window BETWEEN ? AND ? ORDER BY time_window, line",
        (probe, reach.epoch, reach.boot, *windows),
    )


def rollups(
    db: sqlite3.Connection,
    probe: ProbeId,
    line: str,
    reach: MonoRange,
    *,
    windows: tuple[int, int],
) -> Iterator[RollupRow]:
    """Return the roll-ups of one line in a boot's windows first..last."""
    yield from db.execute(
        "SELECT time_window, target, check_name, source, sent, answered, failures, rtts, summaries"
        " FROM rollups WHERE probe = ? AND epoch = ? AND boot = ?"
        " AND time_window BETWEEN ? AND ? AND line = ?",
        (probe, reach.epoch, reach.boot, *windows, line),
    )


def raw_segments(db: sqlite3.Connection, probe: ProbeId, reach: MonoRange) -> list[RawSegment]:
    """Return a boot's opened segments of samples that reach into a range, by their start."""
    rows = db.execute(
        "SELECT pack, place, epoch, boot, last_seq - first_seq + 1, mono_first_ms, mono_last_ms"
        " FROM segments"
        " WHERE probe = ? AND epoch = ? AND boot = ? AND stream = 'raw' AND state = 'opened'"
        " AND mono_first_ms <= ? AND mono_last_ms >= ? ORDER BY mono_first_ms, first_seq",
        (probe, reach.epoch, reach.boot, reach.last_ms, reach.first_ms),
    )
    return [RawSegment(Location(pack, place), *rest) for pack, place, *rest in rows]
