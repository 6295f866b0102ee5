"""What the API answers, as types: the answers are encoded from them, openapi.py describes them.

Times in fields named `_ms` are Unix ms of UTC, those in `utc_` fields ISO-8601.
"""

from typing import Any, Literal

from linewatch_core.ids import BootId, Epoch, ProbeId
from linewatch_core.records import Check, Stream
from linewatch_server.model.strips import Strips
from linewatch_server.model.views import EventsView, LineView, ProbeView, TargetView
from linewatch_server.web.seen import Answer, Seen


class FleetAnswer(Answer, frozen=True, kw_only=True):
    """Every probe, by its id only; `holds_key`: whether this server can open what it stores."""

    now_ms: int
    holds_key: bool
    probes: tuple[ProbeView, ...]


class StripsAnswer(Answer, frozen=True, kw_only=True):
    """One row a line, one cell a stretch of `cell_ms`."""

    cell_ms: int
    strips: Strips


class ProbeAnswer(Answer, frozen=True, kw_only=True):
    """One probe: what is stored of it, and its lines as it last described them."""

    probe: ProbeView
    lines: tuple[LineView, ...]


class TargetsAnswer(Answer, frozen=True, kw_only=True):
    """What each check of each target gave on a line.

    `counted` tells how: from the samples of exactly this range, or from whole
    five-minute windows whose middle lies in it.
    """

    probe: ProbeId
    line: str
    from_ms: int
    to_ms: int
    counted: Literal["samples", "windows"]
    targets: tuple[TargetView, ...]


class EventsAnswer(Answer, frozen=True, kw_only=True):
    """Transitions, gaps and line changes that can lie in a range; `probe` null means all."""

    probe: ProbeId | None
    from_ms: int
    to_ms: int
    events: EventsView


class SampleAnswer(Answer, frozen=True, kw_only=True):
    """One check of one target. It began between `utc_lo` and `utc_hi`; null is an open bound."""

    utc_lo: str | None
    utc_hi: str | None
    disputed: bool
    probe: ProbeId
    epoch: Epoch
    boot: BootId
    seq: int
    mono_ms: int
    slot_ms: int
    round_ms: int
    line: str
    target: str
    check: Check
    family: int
    failure: str | None
    rtt_us: int | None
    timings_us: tuple[int, ...]
    address: str | None
    detail: Seen | None
    busy: bool


class Between(Answer, frozen=True, kw_only=True):
    """A moment between two bounds; null is an open one. `disputed`: clocks disagree."""

    utc_lo: str | None
    utc_hi: str | None
    disputed: bool


class SegmentAnswer(Answer, frozen=True, kw_only=True):
    """A segment by its header; `begins` and `ends` are of its first and its last record."""

    epoch: Epoch
    stream: Stream
    boot: BootId
    position: int
    first_seq: int
    last_seq: int
    header_sha256: str
    begins: Between
    ends: Between


class BelievedAnswer(SegmentAnswer, frozen=True, kw_only=True):
    """A believed segment, and when it arrived."""

    arrived: str


class UnbelievedAnswer(Answer, frozen=True, kw_only=True):
    """A record of a segment that is not believed; `fields` are those of its type."""

    seq: int
    at: Between
    type: str
    fields: dict[str, Any]


class QuarantinedAnswer(Answer, frozen=True, kw_only=True):
    """A message that is not believed.

    `segment` is what it says of itself, `signed` whether its probe's own key signed it,
    `believed_instead` what it contradicts; `unopened` tells why `records` is null.
    """

    arrived: str
    reason: str
    bytes: int
    sha256: str
    pack: int
    offset: int
    signed: bool
    segment: SegmentAnswer | None
    believed_instead: list[BelievedAnswer]
    unopened: str | None
    records: list[UnbelievedAnswer] | None


class QuarantineAnswer(Answer, frozen=True, kw_only=True):
    """All that was kept of a probe and not believed, in the order of arrival."""

    believed: Literal[False]
    warning: str
    probe: ProbeId
    messages: list[QuarantinedAnswer]


class HealthAnswer(Answer, frozen=True, kw_only=True):
    """The server answers, and its index can be read."""

    status: Literal["ok"]


class ErrorAnswer(Answer, frozen=True, kw_only=True):
    """Why there is no answer, and what to do: one sentence."""

    error: str
