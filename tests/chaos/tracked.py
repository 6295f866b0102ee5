"""A file that SQLite writes: what of it is durable, and what a power cut makes of the rest."""

import random
from dataclasses import dataclass, field
from typing import TypeAlias

SECTOR_BYTES = 512

Write: TypeAlias = tuple[int, bytes] | tuple[int, None]
"""(offset, data), or (size, None) for a truncation."""


@dataclass(slots=True)
class Tracked:
    """A file that SQLite writes: what is durable, and what came since."""

    durable: bytearray
    size: int
    pending: list[Write] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        """Note a write."""
        self.pending.append((offset, data))
        self.size = max(self.size, offset + len(data))

    def truncate(self, size: int) -> None:
        """Note a truncation."""
        self.pending.append((size, None))
        self.size = min(self.size, size)

    def sync(self) -> None:
        """Make all that was written durable."""
        for one in self.pending:
            _apply(self.durable, one)
        self.pending.clear()

    def after_power_cut(self, rng: random.Random) -> bytes:
        """Return what the disk may hold: the durable part, and any of the writes since."""
        image = bytearray(self.durable)
        how = rng.choice(["none", "prefix", "prefix", "any"])
        if how == "prefix":
            count = rng.randrange(len(self.pending) + 1)
            for one in self.pending[:count]:
                _apply(image, one)
            if count < len(self.pending):
                _apply(image, _torn(self.pending[count], rng))
        elif how == "any":
            for one in self.pending:
                if rng.random() < 0.5:
                    _apply(image, one if rng.random() < 0.8 else _torn(one, rng))
        return bytes(image)


def _apply(image: bytearray, one: Write) -> None:
    at, data = one
    if data is None:
        del image[at:]
        return
    if len(image) < at:
        image.extend(bytes(at - len(image)))
    image[at : at + len(data)] = data


def _torn(one: Write, rng: random.Random) -> Write:
    """Return the part of a write up to some border of sectors."""
    at, data = one
    if data is None:
        return one
    borders = [0, *range(-at % SECTOR_BYTES, len(data), SECTOR_BYTES)]
    return at, data[: rng.choice(borders)]
