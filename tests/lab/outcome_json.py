"""A run's outcome for machines: one JSON document."""

import json
from datetime import timedelta

from tests.lab.outcome import Outcome
from tests.lab.truth import Row, Told


def to_json(outcome: Outcome) -> bytes:
    """Return an outcome as JSON; errors in real seconds, times of the run in lab seconds."""
    document = {
        "scenario": outcome.scenario.name,
        "seed": outcome.seed,
        "round_s": outcome.pace.round_s,
        "period_s": outcome.pace.period_s,
        "missed_bars": outcome.missed_bars(),
        "changes": [_change(outcome, row) for row in outcome.comparison.rows],
        "not_true": [_told(outcome, one) for one in outcome.comparison.unlisted],
        "records": {
            "samples": outcome.tally.samples,
            "committed": outcome.tally.committed,
            "stored_once": outcome.tally.stored_once,
            "stored_twice": outcome.tally.duplicates,
            "held": outcome.tally.held,
            "gaps": outcome.tally.gaps,
            "lost": outcome.tally.lost,
        },
        "restorations": [
            {
                "at": _at(outcome, one.at_s),
                "backlog": one.backlog,
                "first_summary_after_lab_s": _since(one.summary_s, one.run_s),
                "complete_after_lab_s": _since(one.complete_s, one.run_s),
            }
            for one in outcome.restorations
        ],
        "ran_s": round(outcome.ran_s, 1),
        "cpu_s": round(outcome.cpu_s, 1),
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def _change(outcome: Outcome, row: Row) -> dict[str, object]:
    return {
        "line": row.line,
        "target": row.target,
        "at": _at(outcome, outcome.timeline.scenario_s(row.at_s)),
        "before": row.before,
        "after": row.after,
        "restores": row.restores,
        "told": row.told or None,
        "error_s": None if row.error_s is None else round(row.error_s, 1),
        "decided_after_s": None if row.late_s is None else round(row.late_s, 1),
        "decided_in_round": outcome.rounds_to_tell(row),
        "bad": outcome.is_bad(row),
    }


def _told(outcome: Outcome, one: Told) -> dict[str, object]:
    return {
        "line": one.line,
        "target": one.target,
        "at": _at(outcome, outcome.timeline.scenario_s(one.latest_s)),
        "before": one.before,
        "after": one.after,
        "rule": one.rule,
    }


def _at(outcome: Outcome, scenario_s: float) -> str:
    return (outcome.scenario.begins + timedelta(seconds=round(scenario_s))).isoformat()


def _since(at_s: float | None, run_s: float) -> float | None:
    return None if at_s is None else round(at_s - run_s, 2)
