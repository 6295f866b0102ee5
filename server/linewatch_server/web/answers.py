"""What the API answers, as types: the answers are encoded from them, openapi.py describes them.

Times in fields named `_ms` are Unix ms of UTC, those in `utc_` fields ISO-8601.
"""

from typing import Literal

from linewatch_core.ids import BootId, Epoch, ProbeId
from linewatch_core.records import Check
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


class HealthAnswer(Answer, frozen=True, kw_only=True):
    """The server answers, and its index can be read."""

    status: Literal["ok"]


class ErrorAnswer(Answer, frozen=True, kw_only=True):
    """Why there is no answer, and what to do: one sentence."""

    error: str
