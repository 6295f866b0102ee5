"""Hypothesis strategies for every kind of record, odd values included."""

from hypothesis import strategies as st

from linewatch_core.details import (
    AlternationDetail,
    Answer,
    Attempt,
    ContrastDetail,
    Detail,
    DnsDetail,
    Hop,
    HttpDetail,
    NeighbourDetail,
    PortalAnswer,
    PortalDetail,
    ThroughputDetail,
    TraceDetail,
)
from linewatch_core.ids import BootId
from linewatch_core.judging import CachedTruth, Hold, VerdictSettings
from linewatch_core.modem_words import (
    Bearer,
    ModemDetail,
    ModemStep,
    ModemTrouble,
    PacketService,
    Registration,
    Sim,
)
from linewatch_core.records import (
    Anchor,
    AnchorSource,
    Body,
    BootStarted,
    BudgetChanged,
    Check,
    ConfigApplied,
    EvBody,
    Gap,
    GapReason,
    LineChanged,
    LineKind,
    ModemReset,
    Record,
    Role,
    Roll,
    Sample,
    Stream,
    TargetNote,
    Transition,
    TruthApplied,
)

TIMES_MS = st.integers(0, 2**45) | st.integers(-(2**60), 2**60)
TIMES_US = st.integers(0, 500_000).map(lambda steps: 10 * steps) | st.integers(0, 2**62)
TEXTS = st.sampled_from(["fixed", "modem-1", "root-k"]) | st.text(max_size=12)
COUNTS = st.integers(0, 40) | st.integers(0, 2**60)
DIGESTS = st.binary(min_size=8, max_size=8).map(bytes.hex) | st.text(max_size=16)
TEXT_TUPLES = st.lists(TEXTS, max_size=3).map(tuple)

HTTP_DETAILS = st.builds(
    HttpDetail, COUNTS, COUNTS, DIGESTS, st.none() | TEXTS, st.none() | DIGESTS, st.none() | DIGESTS
)
HOPS = st.lists(st.builds(Hop, st.integers(1, 64), TEXTS, TIMES_US), max_size=3).map(tuple)
ANSWERS = st.builds(Answer, st.none() | TEXTS, TEXT_TUPLES, st.none() | TIMES_US)
ATTEMPTS = st.text(st.sampled_from([*Attempt]), max_size=5)
MEDIANS = st.none() | TIMES_US
PAGES = st.none() | HTTP_DETAILS

DETAILS: st.SearchStrategy[Detail] = st.one_of(
    st.builds(DnsDetail, TEXTS, TEXT_TUPLES, st.none() | TEXT_TUPLES, st.none() | TIMES_US),
    HTTP_DETAILS,
    st.builds(ThroughputDetail, COUNTS, TIMES_US, COUNTS),
    st.builds(TraceDetail, HOPS, st.integers(1, 64), st.integers(1, 64), st.booleans()),
    st.builds(
        AlternationDetail,
        *(ATTEMPTS, ATTEMPTS, MEDIANS, MEDIANS, MEDIANS, MEDIANS, PAGES, PAGES),
    ),
    st.builds(NeighbourDetail, TEXTS, st.none() | TEXTS, MEDIANS),
    st.builds(ContrastDetail, ANSWERS, ANSWERS, ANSWERS, ANSWERS),
    st.builds(
        PortalDetail, st.sampled_from(PortalAnswer), COUNTS, COUNTS, DIGESTS, st.none() | TEXTS
    ),
    st.builds(
        ModemDetail,
        st.booleans(),
        *(st.none() | st.sampled_from(kind) for kind in (Sim, Registration, Bearer)),
        st.none() | st.integers(-150, 0) | TIMES_MS,
        st.none() | TEXTS,
        st.none() | TEXTS,
        st.none() | st.sampled_from(PacketService),
    ),
)

SAMPLES = st.builds(
    Sample,
    mono_ms=TIMES_MS,
    slot_ms=TIMES_MS,
    round_ms=TIMES_MS,
    line=TEXTS,
    target=TEXTS,
    check=st.sampled_from(Check),
    family=st.sampled_from([0, 4, 6]),
    failure=st.none() | TEXTS,
    rtt_us=st.none() | TIMES_US,
    timings_us=st.lists(TIMES_US, max_size=6).map(tuple),
    address=st.none() | TEXTS,
    detail=st.none() | DETAILS,
    busy=st.booleans(),
)

ROLLS = st.builds(
    Roll,
    mono_ms=TIMES_MS,
    window=st.integers(0, 2**40),
    line=TEXTS,
    target=TEXTS,
    check=st.sampled_from(Check),
    sent=COUNTS,
    answered=COUNTS,
    failures=st.dictionaries(TEXTS, st.integers(0, 2**50), max_size=3),
    rtt_min_us=st.none() | TIMES_US,
    rtt_median_us=st.none() | TIMES_US,
    rtt_p95_us=st.none() | TIMES_US,
)

SEQS = st.integers(1, 2**62)
BOOTS = st.binary(min_size=16, max_size=16).map(lambda raw: BootId(raw.hex()))
NOTES = st.builds(
    TargetNote, TEXTS, st.sampled_from(Role), st.lists(st.sampled_from(Check)).map(tuple)
)

HOLDS = st.builds(Hold, st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**60))
SETTINGS = st.builds(
    VerdictSettings,
    HOLDS,
    st.dictionaries(TEXTS, HOLDS, max_size=2),
    st.dictionaries(TEXTS, HOLDS, max_size=2),
    *([COUNTS] * 9),
)
NAMED_TEXTS = st.dictionaries(TEXTS, TEXT_TUPLES, max_size=2)
TRUTHS = st.builds(CachedTruth, NAMED_TEXTS, NAMED_TEXTS, *([TEXT_TUPLES] * 4), TIMES_MS)

EVENTS: st.SearchStrategy[EvBody] = st.one_of(
    st.builds(BootStarted, TIMES_MS, TEXTS),
    st.builds(Anchor, TIMES_MS, TIMES_MS, COUNTS, st.sampled_from(AnchorSource)),
    st.builds(
        Transition,
        TIMES_MS,
        TEXTS,
        st.none() | TEXTS,
        TEXTS,
        TEXTS,
        TIMES_MS,
        TIMES_MS,
        TEXTS,
        COUNTS,
        st.lists(SEQS, max_size=4).map(tuple),
    ),
    st.builds(
        Gap,
        TIMES_MS,
        st.sampled_from(GapReason),
        BOOTS,
        TIMES_MS,
        TIMES_MS,
        st.none() | TEXTS,
        st.none() | st.sampled_from(Stream),
        st.none() | SEQS,
        st.none() | SEQS,
    ),
    st.builds(
        LineChanged,
        TIMES_MS,
        TEXTS,
        st.sampled_from(LineKind),
        st.booleans(),
        st.lists(st.sampled_from([4, 6]), max_size=2).map(tuple),
        TEXT_TUPLES,
        st.none() | TEXTS,
    ),
    st.builds(
        ConfigApplied,
        TIMES_MS,
        TEXTS,
        COUNTS,
        st.lists(NOTES, max_size=3).map(tuple),
        st.none() | SETTINGS,
    ),
    st.builds(TruthApplied, TIMES_MS, TRUTHS),
    st.builds(BudgetChanged, TIMES_MS, TEXTS, COUNTS),
    st.builds(
        ModemReset,
        TIMES_MS,
        TEXTS,
        st.sampled_from(ModemStep),
        st.sampled_from(ModemTrouble),
        st.booleans(),
    ),
)

BODIES: tuple[st.SearchStrategy[Body], ...] = (SAMPLES, ROLLS, EVENTS)


@st.composite
def blocks(draw: st.DrawFn, *, records_max: int = 12) -> list[Record]:
    """Draw 1 to `records_max` consecutive records of one stream."""
    bodies = draw(st.sampled_from(BODIES))
    found = draw(st.lists(bodies, min_size=1, max_size=records_max))
    first_seq = draw(SEQS)
    return [Record(first_seq + place, body) for place, body in enumerate(found)]
