"""What became of every record: an account of the probe's store beside the server's archive.

Records are known by their numbers: the probe's store says how many it committed, and
every segment of the archive is opened. What is nowhere is lost.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from linewatch_core.intervals import SeqSet
from linewatch_core.records import Gap, Record, Sample, Stream, Transition
from linewatch_core.segment.segment import open_segment, parse_segment
from linewatch_server.archive.reader import Archive
from linewatch_server.model.entries import EntryKind


@dataclass(slots=True)
class Contents:
    """How often each record is stored, and which the probe says it gave up, per stream.

    Attributes:
        transitions: each with the boot it is of, by number.
        rounds_ms: when rounds began, per boot.
    """

    times: dict[Stream, Counter[int]] = field(
        default_factory=lambda: {s: Counter() for s in Stream}
    )
    gaps: dict[Stream, SeqSet] = field(default_factory=lambda: {s: SeqSet() for s in Stream})
    transitions: dict[int, tuple[str, Transition]] = field(default_factory=dict)
    rounds_ms: dict[str, set[int]] = field(default_factory=dict)

    def add(self, boot: str, stream: Stream, record: Record) -> None:
        """Take one stored record into account."""
        self.times[stream][record.seq] += 1
        match record.body:
            case Gap(stream=Stream() as of, first_seq=int() as first, last_seq=int() as last):
                self.gaps[of].add(first, last)
            case Transition() as told:
                self.transitions[record.seq] = (boot, told)
            case Sample() as sample:
                self.rounds_ms.setdefault(boot, set()).add(sample.round_ms)
            case _:
                pass


@dataclass(frozen=True, slots=True)
class Tally:
    """Records of all streams: committed, at the server once and more than once, and the rest.

    Attributes:
        samples: those of `raw`: what was measured.
        held: not at the server, but still whole on the probe.
        gaps: given up by the probe, which a gap record at the server says.
    """

    samples: int
    committed: int
    stored_once: int
    duplicates: int
    held: int
    gaps: int

    @property
    def lost(self) -> int:
        """Committed, and nowhere any more."""
        return self.committed - self.stored_once - self.duplicates - self.held - self.gaps


def contents_of(server: Path, recipient_secrets: Sequence[bytes]) -> Contents:
    """Return what is in a server's archive, by opening every segment of it."""
    found = Contents()
    for _, entry in Archive(server).entries():
        if entry.kind is not EntryKind.SEGMENT:
            continue
        segment = parse_segment(entry.payload)
        for record in open_segment(segment, recipient_secrets[0]):
            found.add(segment.header.boot, segment.header.stream, record)
    return found


def account(
    committed: Mapping[Stream, int], held: Mapping[Stream, Iterable[int]], contents: Contents
) -> Tally:
    """Hold what the probe committed against what the server's archive holds."""
    once = twice = kept = gaps = 0
    for stream in Stream:
        whole = set(held.get(stream, ()))
        for seq in range(1, committed[stream] + 1):
            times = contents.times[stream][seq]
            once += times == 1
            twice += times > 1
            kept += not times and seq in whole
            gaps += not times and seq not in whole and contents.gaps[stream].covers(seq, seq)
    return Tally(
        samples=committed[Stream.RAW],
        committed=sum(committed.values()),
        stored_once=once,
        duplicates=twice,
        held=kept,
        gaps=gaps,
    )
