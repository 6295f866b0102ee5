"""Dating a change: between the last answer and the first silence of the hosts that turned.

Each series (target, check, family) remembers when its outcome last turned.
A change of the line lies inside the turns of its hosts: after the last sample
that contradicts it and before the first that supports it.
"""

from collections.abc import Iterable

import msgspec

from linewatch_core.records import Sample
from linewatch_core.verdict.answers import answered

IN_FLIGHT_MS = 2000
"""A question without an answer was sent at most this long before its answer could not come."""
AGREE_SHARE_MIN = 2 / 3
"""A host that fails by chance must not widen what all others agree on."""
SERIES_MAX = 2048


class Turn(msgspec.Struct):
    """How one series stands.

    Attributes:
        good: whether the last sample answered.
        last_ms: when that sample began.
        from_ms: when the last sample of the other outcome began; None: there was none.
        at_ms: when the first sample of this outcome began.
        shown_ms: by when that one showed the change.
    """

    good: bool
    last_ms: int
    from_ms: int | None
    at_ms: int
    shown_ms: int


def series_of(sample: Sample) -> str:
    """Return the key of a sample's series."""
    return f"{sample.target}|{sample.check.value}|{sample.family}"


def note(turns: dict[str, Turn], sample: Sample) -> None:
    """Take a sample into account; samples must come in the order of `mono_ms`."""
    key = series_of(sample)
    good = answered(sample)
    turn = turns.pop(key, None)
    if turn is None or turn.good != good:
        took_ms = -(-(sample.rtt_us or 0) // 1000) if good else IN_FLIGHT_MS
        shown_ms = sample.mono_ms + took_ms
        before_ms = None if turn is None else turn.last_ms
        turn = Turn(good, sample.mono_ms, before_ms, sample.mono_ms, shown_ms)
    turn.last_ms = sample.mono_ms
    turns[key] = turn
    if len(turns) > SERIES_MAX:
        del turns[next(iter(turns))]


def changed_between(
    turns: Iterable[Turn], *, good: bool, since_ms: int, until_ms: int
) -> tuple[int, int] | None:
    """Return (earliest_ms, latest_ms) of the change that these series show.

    Args:
        turns: of the hosts that the verdicts rest on.
        good: what they turned to.
        since_ms, until_ms: only turns first seen in that time count.
    Returns:
        The moments inside the turns of at least two thirds of the series; if they
        agree on none, the hull of all; None if no series turned.
    """
    spans = [
        (turn.from_ms, turn.shown_ms)
        for turn in turns
        if turn.good == good
        and turn.from_ms is not None
        and since_ms <= turn.at_ms <= until_ms
        and turn.from_ms <= turn.shown_ms
    ]
    if not spans:
        return None
    counts = {at: sum(low <= at <= high for low, high in spans) for at, _ in spans}
    most = max(counts.values())
    if most < AGREE_SHARE_MIN * len(spans):
        earliest_ms = min(low for low, _ in spans)
        return earliest_ms, max([earliest_ms, *(high for _, high in spans)])
    starts = [at for at, count in counts.items() if count == most]
    ends = [min(high for low, high in spans if low <= at <= high) for at in starts]
    return min(starts), max(ends)
