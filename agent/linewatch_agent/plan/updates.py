"""When a probe may fetch a release, and over which line.

Pure. Never during an outage, in an announced window or with a backlog: then the line is
for evidence, and a restart would be a gap where it costs most. Source: docs/probe.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from linewatch_agent.plan.line import Line
from linewatch_agent.plan.settings import UpdateConfig
from linewatch_core.records import LineKind
from linewatch_core.verdict import LineVerdict

BACKLOG_MAX = 500
"""Records. What a busy probe holds between two acks; more is a backlog."""
LOCAL_PREFIX = "local."
LOOK_BYTES = 6_000
"""What it costs to ask whether there is a newer release: the manifest, over HTTPS."""
RELEASE_BYTES = 6_500_000
"""What one costs, about."""


@dataclass(frozen=True, slots=True)
class Situation:
    """How the probe is now.

    Attributes:
        lines: those that are there.
        verdicts: of lines, by id.
        refuse_updates: an event announced beforehand may be going on.
        connected: the server answers.
        backlog: held records that the server has not acknowledged.
        backfilling: records from before this connection are still being sent.
        on_trial: the release that runs has not proved itself yet.
    """

    lines: Sequence[Line]
    verdicts: Mapping[str, LineVerdict]
    refuse_updates: bool
    connected: bool
    backlog: int
    backfilling: bool
    on_trial: bool


def not_now(situation: Situation) -> str | None:
    """Return why the probe must stay as it is now, in words, or None if it need not."""
    if situation.on_trial:
        return "the release that runs is on trial"
    if situation.refuse_updates:
        return "an announced event may be going on"
    for line in situation.lines:
        verdict = situation.verdicts.get(line.id, LineVerdict.UNKNOWN)
        # A cable that is out or a stick without a SIM is no outage, and may stay so for good.
        if verdict is not LineVerdict.OK and not verdict.value.startswith(LOCAL_PREFIX):
            return f"{line.id} is {verdict.value}"
    if not situation.connected:
        return "the server does not answer"
    if situation.backfilling or situation.backlog > BACKLOG_MAX:
        return f"{situation.backlog} records wait for the server"
    return None


def may_carry(line: Line, update: UpdateConfig) -> bool:
    """Return whether releases may ever come over a line."""
    return update.lines == "all" or line.kind is LineKind.FIXED


def ways(situation: Situation, update: UpdateConfig) -> list[Line]:
    """Return the lines that a release may be fetched over, best first: fixed before mobile."""
    fit = [
        line
        for line in situation.lines
        if line.usable
        and situation.verdicts.get(line.id) is LineVerdict.OK
        and may_carry(line, update)
    ]
    return sorted(fit, key=lambda line: line.kind is not LineKind.FIXED)
