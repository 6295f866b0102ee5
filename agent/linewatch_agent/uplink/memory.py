"""What the uplink keeps over a restart: the known time, the fleet's spread, where the server was.

Values only; the store keeps the bytes. All of it comes from signed acks or from a
connection whose certificate was checked; losing it costs nothing but time.
Source: docs/wire-format.md, "Getting through"; docs/decisions/0015.
"""

from typing import Annotated

import msgspec

from linewatch_agent.mqtt.fleet_tls import RELEASED_S
from linewatch_core.sync.messages import SPREAD_S_MAX, Ack

FLOOR_STEP_MS = 24 * 3_600_000
"""The floor of time is kept anew when it has moved by this much: a write a day."""
DRIFT = 0.999
"""Seconds of our clock that surely are as many true seconds, with room to spare."""
ADDRESSES_MAX = 16


class _Kept(msgspec.Struct, frozen=True):
    floor_ms: Annotated[int, msgspec.Meta(ge=0)] = 0
    spread_s: Annotated[int, msgspec.Meta(ge=0, le=SPREAD_S_MAX)] = 0
    addresses: dict[str, str] = {}


class UplinkMemory:
    """The present values, and whether they are worth keeping."""

    def __init__(self, kept: bytes | None) -> None:
        """Take what was kept; what cannot be read counts as nothing."""
        try:
            self._kept = _Kept() if kept is None else msgspec.json.decode(kept, type=_Kept)
        except msgspec.DecodeError:
            self._kept = _Kept()
        self._floor_ms = max(self._kept.floor_ms, int(RELEASED_S * 1000))
        self._since_s: float | None = None
        self.spread_s = self._kept.spread_s
        self.addresses = dict(self._kept.addresses)

    def floor_s(self, now_s: float) -> float:
        """Return Unix time that is known to be past at monotonic second `now_s`."""
        elapsed_s = 0.0 if self._since_s is None else max(0.0, now_s - self._since_s)
        return self._floor_ms / 1000 + elapsed_s * DRIFT

    def acked(self, ack: Ack, now_s: float, *, host: str, address: str | None) -> None:
        """Learn from a valid ack, and where it came from (None: the address is configured)."""
        told_ms = ack.server_ms - ack.server_error_ms
        if told_ms / 1000 > self.floor_s(now_s):
            self._floor_ms, self._since_s = told_ms, now_s
        self.spread_s = ack.spread_s
        roomy = host in self.addresses or len(self.addresses) < ADDRESSES_MAX
        if address is not None and roomy:
            self.addresses[host] = address

    def to_keep(self, now_s: float) -> bytes | None:
        """Return what to keep, or None if what is kept is as good."""
        floor_ms = int(self.floor_s(now_s) * 1000)
        present = _Kept(floor_ms, self.spread_s, dict(self.addresses))
        if (
            floor_ms - self._kept.floor_ms < FLOOR_STEP_MS
            and present.spread_s == self._kept.spread_s
            and present.addresses == self._kept.addresses
        ):
            return None
        return msgspec.json.encode(present)

    def was_kept(self, memory: bytes) -> None:
        """Take that what `to_keep` returned is durable now."""
        self._kept = msgspec.json.decode(memory, type=_Kept)
