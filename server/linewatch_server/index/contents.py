"""SQL of what opened segments of samples and roll-ups hold: tallies, boots, modems' last words."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from linewatch_core.errors import MalformedError
from linewatch_core.ids import ProbeId
from linewatch_core.modem_words import ModemDetail
from linewatch_core.records import Anchor, Check, Record, Roll, Sample, Stream
from linewatch_core.segment.codec import mono_range_ms
from linewatch_core.segment.header import Header
from linewatch_server.model.rollup import (
    Series,
    Tally,
    fuller,
    merge,
    pack_numbers,
    pack_summaries,
    tally_rolls,
    tally_samples,
    unpack_numbers,
    unpack_summaries,
)

_UTC_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999."""

BootKey: TypeAlias = tuple[str, str, str]
"""Probe, epoch, boot."""
Tallies: TypeAlias = dict[tuple[BootKey, Series, str], list[Tally]]
"""By boot, series and source, what has to be merged into the roll-ups."""


def tally(header: Header, records: Sequence[Record]) -> dict[tuple[BootKey, Series, str], Tally]:
    """Return what a segment adds to the roll-ups. MalformedError if a value is impossible."""
    key = (header.probe, header.epoch, header.boot)
    samples = [r.body for r in records if isinstance(r.body, Sample)]
    rolls = [r.body for r in records if isinstance(r.body, Roll)]
    found: dict[tuple[BootKey, Series, str], Tally] = {}
    found |= {(key, series, "raw"): t for series, t in tally_samples(samples).items()}
    found |= {(key, series, "probe"): t for series, t in tally_rolls(rolls).items()}
    for record in records:
        if isinstance(record.body, Anchor) and not 0 <= record.body.utc_ms <= _UTC_MS_MAX:
            raise MalformedError(f"an anchor's time is impossible: {record.body.utc_ms} ms")
    return found


def insert_modem_states(db: sqlite3.Connection, header: Header, records: Iterable[Record]) -> None:
    """Keep what each line's modem said last in the segment's boot, if its samples tell."""
    last: dict[str, tuple[int, int, ModemDetail]] = {}
    for record in records:
        sample = record.body
        if not isinstance(sample, Sample) or not isinstance(sample.detail, ModemDetail):
            continue
        told = (sample.mono_ms, record.seq, sample.detail)
        if sample.check is Check.MODEM and told[:2] >= last.get(sample.line, told)[:2]:
            last[sample.line] = told
    db.executemany(
        "INSERT INTO modem_states VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET mono_ms = excluded.mono_ms, seq = excluded.seq, detail = excluded.detail"
        " WHERE (excluded.mono_ms, excluded.seq) > (mono_ms, seq)",
        [
            (header.probe, header.epoch, header.boot, line, mono_ms, seq, _json(detail))
            for line, (mono_ms, seq, detail) in last.items()
        ],
    )


def forget_gateway(db: sqlite3.Connection, probe: ProbeId, target: str) -> None:
    """Sum the lines' windows anew in which a target was counted before it was known a gateway."""
    rows = db.execute(
        "SELECT DISTINCT probe, epoch, boot, time_window, line FROM rollups"
        " WHERE probe = ? AND target = ?",
        (probe, target),
    ).fetchall()
    for line_window in rows:
        _sum_line_window(db, line_window)


def see_boot(db: sqlite3.Connection, header: Header, records: Sequence[Record]) -> None:
    """Widen what is known of the segment's boot by its records."""
    first_ms, last_ms = mono_range_ms(records)
    ev_first_seq = header.first_seq if header.stream is Stream.EV else None
    db.execute(
        "INSERT INTO boots VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " mono_first_ms = min(mono_first_ms, excluded.mono_first_ms),"
        " mono_last_ms = max(mono_last_ms, excluded.mono_last_ms),"
        " ev_first_seq = CASE"
        "  WHEN ev_first_seq IS NULL THEN excluded.ev_first_seq"
        "  WHEN excluded.ev_first_seq IS NULL THEN ev_first_seq"
        "  ELSE min(ev_first_seq, excluded.ev_first_seq) END",
        (header.probe, header.epoch, header.boot, ev_first_seq, first_ms, last_ms),
    )


def add_tallies(db: sqlite3.Connection, tallies: Tallies) -> None:
    """Merge tallies into the roll-ups, and sum the touched windows of each line anew."""
    touched = set()
    for (boot, series, source), parts in tallies.items():
        key = (*boot, *series, source)
        row = db.execute(
            "SELECT sent, answered, failures, rtts, summaries FROM rollups WHERE probe = ?"
            " AND epoch = ? AND boot = ? AND time_window = ? AND line = ? AND target = ?"
            " AND check_name = ? AND source = ?",
            key,
        ).fetchone()
        whole = merge(parts if row is None else [*parts, tally_of_row(row)])
        db.execute(
            "INSERT OR REPLACE INTO rollups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *key,
                whole.sent,
                whole.answered,
                _json(dict(whole.failures)),
                pack_numbers(whole.rtts),
                pack_summaries(whole.summaries),
            ),
        )
        touched.add((*boot, series.window, series.line))
    for line_window in sorted(touched):
        _sum_line_window(db, line_window)


def tally_of_row(row: tuple[int, int, str, bytes, bytes]) -> Tally:
    """Return the tally in (sent, answered, failures, rtts, summaries) of `rollups`."""
    sent, answered, failures, rtts, summaries = row
    return Tally(
        sent,
        answered,
        tuple(msgspec.json.decode(failures, type=dict[str, int]).items()),
        unpack_numbers(rtts),
        unpack_summaries(summaries),
    )


def _sum_line_window(db: sqlite3.Connection, key: tuple[str, str, str, int, str]) -> None:
    rows = db.execute(
        "SELECT target, check_name, source, sent, answered FROM rollups"
        " WHERE probe = ? AND epoch = ? AND boot = ? AND time_window = ? AND line = ?"
        " AND target NOT IN (SELECT target FROM gateways WHERE probe = ?)",
        (*key, key[0]),
    )
    sources: defaultdict[tuple[str, str], dict[str, Tally]] = defaultdict(dict)
    for target, check, source, sent, answered in rows:
        sources[target, check][source] = Tally(sent, answered)
    best = [fuller(found.get("raw"), found.get("probe")) for found in sources.values()]
    db.execute(
        "INSERT OR REPLACE INTO line_windows VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*key, sum(t.sent for t in best), sum(t.answered for t in best)),
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
