"""The agent with all of its times divided: a month of data in hours, the same bytes a round.

`python -m tests.support.fast_agent FACTOR run …` is `linewatch-agent run …` with every
period of its configuration (and what is no setting: the window of roll-ups, the age of a
look-up) divided, and the month's budget
multiplied, by FACTOR. So the ladder takes the step that it would take at full length.
The date is unknown to it: a month is then 30 days from the start, whatever today is.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from linewatch_core import records

if TYPE_CHECKING:
    from linewatch_agent.plan.settings import Config

ROUND_S, MONTH_S = 30.0, 30 * 86_400
"""A round and a month at full length."""


def main() -> int:
    """Divide, then run the command line."""
    factor = int(sys.argv[1])
    # Before anything else takes it by value.
    records.ROLL_WINDOW_MS = records.ROLL_WINDOW_MS // factor

    from linewatch_agent import __main__, plan_file, timekeeper
    from linewatch_agent.checks import resolve
    from linewatch_agent.plan import rollup
    from linewatch_agent.plan_file import Plan
    from linewatch_core.timebase import Interval

    read_plan = plan_file.read_plan

    def read_divided(path: Path | None) -> Plan:
        plan = read_plan(path)
        return replace(plan, config=_divided(plan.config, factor))

    plan_file.read_plan = read_divided
    resolve.FRESH_S = resolve.FRESH_S / factor
    rollup._LATEST_MS = rollup._LATEST_MS // factor
    setattr(timekeeper.Timekeeper, "utc", lambda _: Interval(None, None))  # noqa: B010
    return __main__.main(sys.argv[2:])


def _divided(config: "Config", factor: int) -> "Config":
    change = msgspec.structs.replace
    schedule, store, uplink = config.schedule, config.store, config.uplink
    period_s = schedule.period_s / factor
    return change(
        config,
        schedule=change(
            schedule,
            period_s=period_s,
            jitter_s=schedule.jitter_s / factor,
            timeout_s=0.8 * period_s,
        ),
        store=change(
            store,
            commit_s=store.commit_s / factor,
            block_s=store.block_s / factor,
            live_close_s=store.live_close_s / factor,
        ),
        uplink=change(
            uplink,
            keepalive_s=max(1, uplink.keepalive_s // factor),
            retry_max_s=uplink.retry_max_s / factor,
        ),
        budget=change(config.budget, month_mb=config.budget.month_mb * factor),
    )


if __name__ == "__main__":
    sys.exit(main())
