"""What the store is told and what it tells: whose it is, its limits, what a commit did, counts."""

from dataclasses import dataclass

from linewatch_agent.store.tables import SealedRange
from linewatch_core.ids import BootId, ProbeId
from linewatch_core.records import Record, Stream
from linewatch_core.segment.sealing import RecipientKey

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose records these are, of which boot, and for whom they are sealed."""

    probe: ProbeId
    boot: BootId
    recipients: tuple[RecipientKey, ...]


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """When a block is closed, and how large the store may grow.

    `live_block_ms` is the age at which a block is closed while the uplink is up.
    """

    block_records: int = 200
    block_bytes: int = 16 * 1024
    block_ms: int = 600_000
    live_block_ms: int = 60_000
    bytes_max: int = 512 * _MIB
    free_bytes_min: int = 64 * _MIB


@dataclass(frozen=True, slots=True)
class Closing:
    """Which blocks a commit closes, so that sealing costs no transaction of its own.

    Attributes:
        live: whether the uplink is up.
        since_ms: when the oldest body of the commit was taken: its block is as old as that.
        ahead_ms: when the next commit is due, from now; what is old enough by then is closed
            now.
    """

    live: bool
    since_ms: int
    ahead_ms: int


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit stored, and what became segments in it."""

    records: list[Record]
    sealed: list[SealedRange]


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """How the store stands, for `status`.

    Attributes:
        committed: records ever committed, per stream.
        bytes: of the database's used pages.
        segments: how many have their body.
        thinned: how many have only their header.
    """

    committed: dict[Stream, int]
    bytes: int
    segments: int
    thinned: int

    @classmethod
    def of_nothing(cls) -> "StoreCounts":
        """Return the counts of a store without a record."""
        return cls(dict.fromkeys(Stream, 0), 0, 0, 0)
