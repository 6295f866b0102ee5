"""What goes when the store is full: in which order, how much, and never what is not had."""

from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.retention import (
    KEEP_ACKED_MS,
    AckLog,
    Stored,
    acked_long_through,
    log_ack,
    thin,
)
from linewatch_core.records import Stream

HOUR_MS = 3600 * 1000


def stored(
    number: int, stream: Stream = Stream.RAW, *, size: int = 100, acked: str = "no"
) -> Stored:
    """Return the segment of ten records with that number; `acked`: no, yes, long."""
    return Stored(
        number, stream, number * 10 + 1, number * 10 + 10, size, acked != "no", acked == "long"
    )


SEGMENTS = st.lists(
    st.tuples(st.sampled_from(Stream), st.integers(1, 500), st.sampled_from(["no", "yes", "long"])),
    max_size=30,
).map(
    lambda rows: [stored(n, stream, size=size, acked=a) for n, (stream, size, a) in enumerate(rows)]
)


def test_the_order_in_which_things_go() -> None:
    """Long acked of any stream, acked, then raw that nobody has, then roll; oldest first."""
    segments = [
        stored(1, Stream.RAW),
        stored(2, Stream.ROLL),
        stored(3, Stream.EV),
        stored(4, Stream.RAW, acked="yes"),
        stored(5, Stream.RAW),
        stored(6, Stream.ROLL, acked="yes"),
        stored(7, Stream.RAW, acked="long"),
        stored(8, Stream.EV, acked="long"),
        stored(9, Stream.EV, acked="yes"),
    ]
    choice = thin(segments, free_bytes=10**9)
    assert [s.id for s in choice.drop] == [7, 8, 4, 6, 1, 5, 2]
    assert [s.id for s in choice.lost] == [1, 5, 2]


def test_no_more_goes_than_is_needed() -> None:
    """It stops as soon as there is room; nothing is wanted, nothing goes."""
    segments = [stored(n) for n in range(10)]
    assert [s.id for s in thin(segments, free_bytes=250).drop] == [0, 1, 2]
    assert thin(segments, free_bytes=0).drop == ()
    assert thin([], free_bytes=100).drop == ()


@given(SEGMENTS, st.integers(0, 20_000))
def test_thinning_gives_up_as_little_and_as_late_as_it_can(
    segments: list[Stored], free_bytes: int
) -> None:
    """Any store: no event that is not long acked, enough room or all, no step too far."""
    choice = thin(segments, free_bytes=free_bytes)
    may_go = [s for s in segments if s.stream is not Stream.EV or s.acked_long]
    freed = sum(s.bytes for s in choice.drop)
    assert set(choice.drop) <= set(may_go)
    assert freed >= free_bytes or set(choice.drop) == set(may_go)
    assert freed - (choice.drop[-1].bytes if choice.drop else 0) < max(1, free_bytes)
    assert choice.lost == tuple(s for s in choice.drop if not s.acked)
    if choice.lost:
        assert all(s in choice.drop for s in may_go if s.acked)
    if any(s.stream is Stream.ROLL for s in choice.lost):
        assert all(s in choice.drop for s in segments if s.stream is Stream.RAW)


def test_acked_data_counts_as_old_after_48_hours_of_running() -> None:
    """Not a ms sooner, and only as far as was acked then."""
    log = log_ack((), uptime_ms=0, through=100)
    log = log_ack(log, uptime_ms=2 * HOUR_MS, through=300)
    assert acked_long_through(log, uptime_ms=KEEP_ACKED_MS - 1) == 0
    assert acked_long_through(log, uptime_ms=KEEP_ACKED_MS) == 100
    assert acked_long_through(log, uptime_ms=KEEP_ACKED_MS + 2 * HOUR_MS) == 300
    assert acked_long_through((), uptime_ms=KEEP_ACKED_MS) == 0


def test_an_ack_that_goes_backwards_makes_everything_after_it_young() -> None:
    """What a restored server does not have is not old, however long ago it was acked."""
    log = log_ack((), uptime_ms=0, through=500)
    log = log_ack(log, uptime_ms=KEEP_ACKED_MS, through=200)
    log = log_ack(log, uptime_ms=KEEP_ACKED_MS + HOUR_MS, through=500)
    assert acked_long_through(log, uptime_ms=KEEP_ACKED_MS + 2 * HOUR_MS) == 200
    assert acked_long_through(log, uptime_ms=2 * KEEP_ACKED_MS + HOUR_MS) == 500


@given(st.lists(st.tuples(st.integers(0, 5 * HOUR_MS), st.integers(0, 1000)), max_size=120))
def test_the_log_never_claims_too_much_and_stays_short(steps: list[tuple[int, int]]) -> None:
    """Against the full history: what counts as long acked was acked all that time."""
    history: list[tuple[int, int]] = []
    log: AckLog = ()
    now_ms = 0
    for wait_ms, through in steps:
        now_ms += wait_ms
        history.append((now_ms, through))
        log = log_ack(log, uptime_ms=now_ms, through=through)
        claimed = acked_long_through(log, uptime_ms=now_ms)
        since = [upto for at, upto in history if at >= now_ms - KEEP_ACKED_MS]
        before = [upto for at, upto in history if at <= now_ms - KEEP_ACKED_MS]
        assert claimed <= min([*since, *before[-1:]])
        assert claimed == 0 or before
        assert len(log) <= KEEP_ACKED_MS // HOUR_MS + 2
