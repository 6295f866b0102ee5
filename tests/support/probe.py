"""A probe's identity and store in one call, as the agent's app would put them together.

Everything is derived from labels but the store's own randomness. `power_cut`
copies what a disk would hold at this moment; `records_of` reads a store the
way a stranger would: from its segments, with the recipient's key.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.store import Store, open_store
from linewatch_agent.store.values import Owner, StoreLimits
from linewatch_core.details import DnsDetail
from linewatch_core.ids import BootId, Epoch
from linewatch_core.records import Body, BootStarted, Check, Record, Sample, Stream
from linewatch_core.segment.chain import check_follows
from linewatch_core.segment.segment import Segment, open_segment, parse_segment, verify_signature
from linewatch_core.segment.signing import key_id
from tests.support.segments import BOOT, PROBE, derived_bytes, recipient, recipient_secret

NEXT_BOOT = BootId(derived_bytes("next boot", 16).hex())


_open: list["Probe"] = []


def close_all() -> None:
    """Close the store of every probe that a test made."""
    while _open:
        _open.pop().store.close()


@dataclass(slots=True)
class Probe:
    """A probe's state folder, its keys and its open store."""

    directory: Path
    boot: BootId = BOOT
    epoch_label: str = "epoch"
    limits: StoreLimits = field(default_factory=lambda: StoreLimits(free_bytes_min=0))
    now_ms: int = 1_000
    keys: SigningKeys = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        """Start the agent's storage in `directory`."""
        self.directory.mkdir(exist_ok=True)
        self.keys = SigningKeys.open(
            self.directory,
            probe=PROBE,
            first_seed=lambda: derived_bytes("root seed"),
            boot=self.boot,
            now_ms=self.now_ms,
        )
        self.store = open_store(
            self.directory,
            owner=Owner(PROBE, self.boot, (recipient("fleet"),)),
            new_epoch=Epoch(derived_bytes(self.epoch_label, 8).hex()),
            keys=self.keys,
            limits=self.limits,
            now_ms=self.now_ms,
        )
        _open.append(self)

    def commit(self, *bodies: Body, safe_ms: int | None = None) -> None:
        """Commit bodies as one group at the present moment, and let a second pass."""
        safe = self.now_ms if safe_ms is None else safe_ms
        self.store.commit(bodies, now_ms=self.now_ms, safe_ms=safe)
        self.now_ms += 1_000

    def power_cut(self, to: Path) -> Path:
        """Copy the state folder as a disk holds it this moment; the store goes on."""
        return power_cut(self.directory, to)


def power_cut(directory: Path, to: Path) -> Path:
    """Copy a state folder file by file, the database with its WAL, without telling SQLite."""
    shutil.copytree(directory, to)
    return to


def boot_started(mono_ms: int = 1_000, version: str = "0.1.0") -> BootStarted:
    """Return an event."""
    return BootStarted(mono_ms, version)


def sample(number: int, *, target: str = "resolver-a", address: str | None = None) -> Sample:
    """Return a failed sample that its number tells apart."""
    return Sample(
        mono_ms=1_000 + number,
        slot_ms=1_000 + number,
        round_ms=1_000,
        line="fixed-1",
        target=target,
        check=Check.ICMP,
        family=4,
        failure="generic_timeout_error",
        address=address or f"192.0.2.{number % 250}",
    )


def samples(first: int, last: int) -> list[Sample]:
    """Return the samples `first` to `last`."""
    return [sample(number) for number in range(first, last + 1)]


def bulky(first: int, last: int, *, answers: int = 16) -> list[Sample]:
    """Return samples whose answers do not compress: 32 bytes and more for each answer."""
    return [
        msgspec.structs.replace(
            sample(number),
            check=Check.DNS,
            detail=DnsDetail(
                "NOERROR", tuple(derived_bytes(f"{number} {n}", 32).hex() for n in range(answers))
            ),
        )
        for number in range(first, last + 1)
    ]


def segments_of(store: Store, stream: Stream) -> Iterator[Segment]:
    """Yield all segments of a stream that have their body, by loading each as the uplink would."""
    for held in store.held():
        if held.stream is not stream:
            continue
        seq = held.first
        while seq <= held.last:
            loaded = store.load(stream, seq)
            assert loaded is not None
            where, data = loaded
            yield parse_segment(data)
            seq = where.last + 1


def records_of(store: Store, keys: SigningKeys, stream: Stream) -> list[Record]:
    """Return all sealed records of a stream, after checking chain, signatures and numbers."""
    publics = {keys.current.id: keys.current.public}
    for certificate in keys.certificates:
        publics |= {key_id(k): k for k in (certificate.old_public, certificate.new_public)}
    records: list[Record] = []
    previous = None
    for segment in segments_of(store, stream):
        verify_signature(segment, publics[segment.header.signer])
        if previous is not None:
            check_follows(previous, segment.header)
        previous = segment.header
        records += open_segment(segment, recipient_secret("fleet"))
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    return records
