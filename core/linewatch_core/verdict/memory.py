"""What a machine remembers between rounds: one value, small and bounded, that can be kept.

Times are of the boot named in it; ok time and baselines outlive a boot.
"""

import msgspec

from linewatch_core.errors import MalformedError, UnsupportedVersionError
from linewatch_core.verdict.baseline import Baseline
from linewatch_core.verdict.inputs import Seen
from linewatch_core.verdict.states import LineVerdict, TargetVerdict
from linewatch_core.verdict.turns import Outcome

MEMORY_VERSION = 4


class Streak(msgspec.Struct):
    """Rounds that say one verdict which is not the one in force, in a row.

    Attributes:
        verdict, rule, rule_version: what the last of them says, by which rule.
        before_ms: when the last round began that contradicts it; None if there was none.
        rests_ms: when the oldest outcome began on which that round rests.
        first_ms, until_ms: when its first round began, and that round's last sample.
        rounds: how many; 0: too many rounds said nothing, and it counts anew.
        hosts: which hosts answered in the last (allow_list).
        seqs: the samples that decided its rounds.
    """

    verdict: str
    rule: str
    rule_version: int
    before_ms: int | None
    rests_ms: int | None
    first_ms: int
    until_ms: int
    rounds: int = 1
    hosts: list[str] = []
    seqs: list[tuple[int, ...]] = []


class Track(msgspec.Struct):
    """A verdict in force, and what speaks against it.

    Attributes:
        streak, blind: of another verdict, and of rounds that say `unknown`, which
            contradict no verdict.
        contradicted: consecutive rounds that said anything else; `since_ms` when the
            first of them began, `agreed_ms` when the last round before began.
        last_ms, rests_ms: when the last round began that said something, and the oldest
            outcome on which it rests.
    """

    verdict: str = "unknown"
    streak: Streak | None = None
    blind: Streak | None = None
    contradicted: int = 0
    since_ms: int = 0
    agreed_ms: int | None = None
    last_ms: int | None = None
    rests_ms: int | None = None


class Rate(msgspec.Struct):
    """The last goodput of one anchor: when, in bytes a second, from which network and sample."""

    mono_ms: int
    bytes_per_s: float
    network: str
    seq: int


class TargetMemory(msgspec.Struct):
    """What is remembered of one target on one line; `slow`: last outcome per slow check."""

    track: Track = msgspec.field(default_factory=Track)
    slow: dict[str, Seen] = {}


class LineMemory(msgspec.Struct):
    """What is remembered of one line.

    Attributes:
        ok_ms: how long the line has been ok in all; the clock of its baselines.
        gateway_misses: in how many rounds in a row, up to now, the next hop was asked in vain
            since it answered; None: it never did in this boot.
        series: the last outcomes of each series, by its key; rates: per target.
        sights: the last outcome of each portal check and random name, per series.
        goodput: baselines of goodput per target; paces: its last outcomes, fine or low.
        signal: the baseline of the signal in dBm.
        suspected: when each suspicion last began, by its two verdicts.
        tight_until_ms: until when dense rounds are wanted.
    """

    track: Track = msgspec.field(default_factory=Track)
    ok_ms: int = 0
    gateway_misses: int | None = None
    series: dict[str, list[Outcome]] = {}
    rates: dict[str, Rate] = {}
    sights: dict[str, Seen] = {}
    goodput: dict[str, Baseline] = {}
    paces: dict[str, list[Outcome]] = {}
    signal: Baseline = msgspec.field(default_factory=Baseline)
    suspected: dict[str, int] = {}
    tight_until_ms: int = 0
    targets: dict[str, TargetMemory] = {}


class Memory(msgspec.Struct):
    """All that a machine remembers."""

    version: int = MEMORY_VERSION
    boot: str = ""
    last_round_ms: int | None = None
    last_sample_ms: int = 0
    lines: dict[str, LineMemory] = {}


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Memory)


def pack(memory: Memory) -> bytes:
    """Return a memory as bytes."""
    return _ENCODER.encode(memory)


def unpack(data: bytes) -> Memory:
    """Return the memory that bytes hold.

    Raises:
        MalformedError: they hold none; start with a fresh machine.
        UnsupportedVersionError: another release wrote them.
    """
    try:
        memory = _DECODER.decode(data)
        for line in memory.lines.values():
            LineVerdict(line.track.verdict)
            for target in line.targets.values():
                TargetVerdict(target.track.verdict)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedError(f"cannot read the verdicts' memory: {error}") from None
    if memory.version != MEMORY_VERSION:
        raise UnsupportedVersionError(
            f"cannot read the verdicts' memory: version {memory.version}, "
            f"this release reads {MEMORY_VERSION}"
        )
    return memory
