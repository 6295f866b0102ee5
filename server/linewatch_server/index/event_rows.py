"""SQL of the `ev` records that opened segments hold: each in the table of its kind."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import assert_never

import msgspec

from linewatch_core.ids import ProbeId
from linewatch_core.records import (
    Anchor,
    BootStarted,
    BudgetChanged,
    ConfigApplied,
    EvBody,
    Gap,
    LineChanged,
    ModemReset,
    Record,
    Role,
    Roll,
    Sample,
    Transition,
    TruthApplied,
)
from linewatch_core.segment.header import Header


def insert_events(db: sqlite3.Connection, header: Header, records: Iterable[Record]) -> None:
    """Store the `ev` records of a segment, each in its table."""
    for record in records:
        if not isinstance(record.body, Sample | Roll):
            table, values = _row(record.body)
            row = (header.probe, header.epoch, record.seq, header.boot, record.body.mono_ms)
            marks = ", ".join("?" * (len(row) + len(values)))
            db.execute(f"INSERT INTO {table} VALUES ({marks})", row + values)


def insert_gateways(
    db: sqlite3.Connection, header: Header, records: Iterable[Record]
) -> Iterator[tuple[ProbeId, str]]:
    """Note the gateways that configurations name; yield (probe, target) of those not known before.

    The caller then sums the lines anew in which they were counted: `contents.forget_gateway`.
    """
    for record in records:
        if isinstance(record.body, ConfigApplied):
            for note in record.body.targets:
                if note.role is Role.GATEWAY:
                    new = (header.probe, note.id)
                    sql = "INSERT INTO gateways VALUES (?, ?) ON CONFLICT DO NOTHING"
                    if db.execute(sql, new).rowcount:
                        yield new


def _row(body: EvBody) -> tuple[str, tuple[object, ...]]:
    """Return the table of an `ev` record and its columns after the common five."""
    values: tuple[object, ...]
    match body:
        case BootStarted():
            table, values = "starts", (body.version,)
        case Anchor():
            table, values = "anchors", (body.utc_ms, body.error_ms, body.source)
        case Transition():
            span = (body.before, body.after, body.earliest_ms, body.latest_ms)
            decided = (body.rule, body.rule_version, _json(body.samples))
            table, values = "transitions", (body.line, body.target, *span, *decided)
        case Gap():
            where = (body.reason, body.from_boot, body.from_ms, body.to_ms, body.line)
            table, values = "gaps", (*where, body.stream, body.first_seq, body.last_seq)
        case LineChanged():
            can = (int(body.usable), _json(body.families), _json(body.problems))
            table, values = "line_changes", (body.line, body.kind, *can, body.operator)
        case ConfigApplied():
            settings = None if body.settings is None else _json(body.settings)
            notes = _json(body.targets)
            table, values = "configs", (body.sha256, body.period_ms, notes, settings)
        case TruthApplied():
            table, values = "truths", (_json(body.truth),)
        case BudgetChanged():
            table, values = "budget_steps", (body.line, body.step)
        case ModemReset():
            done = (body.step, body.trouble, int(body.done))
            table, values = "modem_resets", (body.line, *done)
        case _:
            assert_never(body)
    return table, values


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
