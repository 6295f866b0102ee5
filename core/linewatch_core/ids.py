"""Identifiers: small validated strings, so that a path or topic made of one is safe.

A probe's id is random and says nothing of its place or host.
"""

import base64
import re
from typing import NewType

from linewatch_core.errors import MalformedError

ProbeId = NewType("ProbeId", str)
"""16 characters of a-z2-7: 10 random bytes in lower-case base32."""
Epoch = NewType("Epoch", str)
"""16 hexadecimal digits: 8 random bytes made when a store is created."""
BootId = NewType("BootId", str)
"""32 hexadecimal digits: the kernel's boot UUID without dashes."""

PROBE_RANDOM_BYTES = 10
EPOCH_RANDOM_BYTES = 8

_PROBE = re.compile(r"[a-z2-7]{16}")
_EPOCH = re.compile(r"[0-9a-f]{16}")
_BOOT = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}")


def probe_id_from_random(random_bytes: bytes) -> ProbeId:
    """Return the probe id that 10 random bytes spell."""
    if len(random_bytes) != PROBE_RANDOM_BYTES:
        raise ValueError(f"a probe id needs {PROBE_RANDOM_BYTES} bytes, got {len(random_bytes)}")
    return ProbeId(base64.b32encode(random_bytes).decode().lower())


def probe_id_bytes(probe: ProbeId) -> bytes:
    """Return the 10 bytes that a probe id spells."""
    return base64.b32decode(probe.upper())


def parse_probe_id(text: str) -> ProbeId:
    """Return `text` as a probe id, or raise MalformedError."""
    if not _PROBE.fullmatch(text):
        raise MalformedError(f"not a probe id: {text[:40]!r} (expected 16 characters of a-z2-7)")
    return ProbeId(text)


def parse_epoch(text: str) -> Epoch:
    """Return `text` as an epoch id, or raise MalformedError."""
    if not _EPOCH.fullmatch(text):
        raise MalformedError(f"not an epoch: {text[:40]!r} (expected 16 hexadecimal digits)")
    return Epoch(text)


def parse_boot_id(text: str) -> BootId:
    """Return a boot UUID, with or without dashes, as a boot id, or raise MalformedError."""
    plain = text.strip().replace("-", "").lower()
    if not _BOOT.fullmatch(plain):
        raise MalformedError(f"not a boot id: {text[:40]!r} (expected a UUID)")
    return BootId(plain)


def is_name(text: str) -> bool:
    """Return whether `text` may name a line or a target: 1 to 48 of a-z 0-9 . _ -"""
    return _NAME.fullmatch(text) is not None
