"""What to give up when the store is full, and in which order.

Pure. Nothing goes because of the time of day, a retry count or a setting:
only because there is no room. What the server has goes first, then the oldest
raw samples, then the oldest roll-ups; events never. Source: docs/wire-format.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from linewatch_core.records import Stream

KEEP_ACKED_MS = 48 * 3600 * 1000
"""How long (of the agent's own running time) acked data is preferred to stay: a server may be
restored from yesterday's backup and ask again."""


AckLog: TypeAlias = tuple[tuple[int, int], ...]
"""(running time in ms, acked through): at that time everything up to there was acked."""

_LOG_STEP_MS = 3600 * 1000


def log_ack(log: AckLog, *, uptime_ms: int, through: int) -> AckLog:
    """Return the log with one more ack; one that goes backwards lowers the earlier entries."""
    kept = [(at, min(upto, through)) for at, upto in log]
    if not kept or uptime_ms - kept[-1][0] >= _LOG_STEP_MS:
        kept.append((uptime_ms, through))
    old = [entry for entry in kept if uptime_ms - entry[0] >= KEEP_ACKED_MS]
    return (*old[-1:], *kept[len(old) :])


def acked_long_through(log: AckLog, *, uptime_ms: int) -> int:
    """Return up to where everything has been acked for 48 h of running time."""
    return max((upto for at, upto in log if uptime_ms - at >= KEEP_ACKED_MS), default=0)


@dataclass(frozen=True, slots=True)
class Stored:
    """A segment that still has its body; `bytes` is the body's size."""

    id: int
    stream: Stream
    first_seq: int
    last_seq: int
    bytes: int
    acked: bool
    acked_long: bool


@dataclass(frozen=True, slots=True)
class Thinning:
    """Bodies to give up; `lost` are those that the server does not have."""

    drop: tuple[Stored, ...]
    lost: tuple[Stored, ...]


def _rank(segment: Stored) -> int:
    if segment.stream is Stream.EV:
        return 4 if not segment.acked_long else 0
    if segment.acked_long:
        return 0
    if segment.acked:
        return 1
    return 2 if segment.stream is Stream.RAW else 3


def thin(segments: Iterable[Stored], *, free_bytes: int) -> Thinning:
    """Choose the bodies to drop so that at least `free_bytes` become free, as far as possible.

    Args:
        segments: oldest first within a stream.
        free_bytes: how much room is wanted.
    Returns:
        The choice, in order; it may free less if only events are left.
    """
    drop: list[Stored] = []
    freed = 0
    for segment in sorted(segments, key=lambda s: (_rank(s), s.id)):
        if freed >= free_bytes or _rank(segment) == 4:
            break
        drop.append(segment)
        freed += segment.bytes
    return Thinning(tuple(drop), tuple(s for s in drop if not s.acked))
