"""The probe's half of the sync, as conversations: what happened -> what it does."""

from collections.abc import Iterable

import pytest

from linewatch_core.records import Stream
from linewatch_core.sync.acks import acked_set, within
from linewatch_core.sync.messages import Ack, StreamAck
from linewatch_core.sync.upload_talk import (
    AckReceived,
    Command,
    Connected,
    Disconnected,
    Dropped,
    Event,
    Held,
    Published,
    Reconnect,
    SaveAck,
    Send,
    Sent,
    Tick,
)
from linewatch_core.sync.uploader import Uploader, UploadLimits

EPOCH = "00112233445566aa"
EV, ROLL, RAW = Stream.EV, Stream.ROLL, Stream.RAW


def ack(
    streams: dict[Stream, StreamAck],
    *,
    conn: int = 1,
    birth: bool = False,
    epoch: str = EPOCH,
    credit: int = 256 * 1024,
) -> AckReceived:
    """Return what the driver tells the machine of a valid ack."""
    return AckReceived(
        Ack(
            probe="a" * 16,
            epoch=epoch,
            conn=conn,
            birth=birth,
            streams=streams,
            server_ms=0,
            server_error_ms=0,
            credit_bytes=credit,
        )
    )


BIRTH_ACK = ack({}, birth=True)


def play(machine: Uploader, events: Iterable[Event], now: float = 0.0) -> list[Command]:
    """Tell the machine of events, all at `now`; return all that it says."""
    return [command for event in events for command in machine.handle(event, now)]


def send_all(machine: Uploader, commands: list[Command], *, size: int = 1000) -> list[Send]:
    """Do what the machine asks, ten records a segment, until it asks no more."""
    sends: list[Send] = []
    while commands:
        (command,) = commands
        assert isinstance(command, Send)
        sends.append(command)
        first = (command.seq - 1) // 10 * 10 + 1
        key = (command.stream, first, first + 9)
        commands = play(machine, [Sent(*key, size), Published(*key)])
    return sends


def connected(*held: Held, limits: UploadLimits | None = None) -> Uploader:
    """Return a machine that has `held`, just connected as number 1."""
    machine = Uploader(epoch=EPOCH, limits=limits)
    play(machine, [*held, Connected(1)])
    return machine


def test_the_birth_ack_opens_the_way() -> None:
    """connected -> nothing; the birth's ack -> the first send."""
    machine = Uploader(epoch=EPOCH)
    assert play(machine, [Held(EV, 1, 10), Connected(1)]) == []
    assert machine.handle(BIRTH_ACK, 0.4) == [Send(EV, 1)]


def test_without_a_birth_ack_it_begins_after_five_seconds() -> None:
    """An old server, or a lost ack, holds nothing up for longer."""
    machine = connected(Held(EV, 1, 10))
    assert machine.wakeup_at() == 5.0
    assert machine.handle(Tick(), 4.9) == []
    assert machine.handle(Tick(), 5.0) == [Send(EV, 1)]


def test_nothing_is_sent_without_a_connection() -> None:
    """Records wait; nothing is due; an old ack changes nothing."""
    machine = Uploader(epoch=EPOCH)
    assert play(machine, [Held(EV, 1, 10), Tick(), BIRTH_ACK]) == []
    assert machine.wakeup_at() is None
    assert machine.backlog() == 10


def test_one_is_asked_for_at_a_time() -> None:
    """send -> (nothing more until the driver says how large it was)."""
    machine = connected(Held(EV, 1, 30))
    assert machine.handle(BIRTH_ACK, 0) == [Send(EV, 1)]
    assert play(machine, [Tick(), Held(RAW, 1, 10), BIRTH_ACK]) == []
    assert play(machine, [Sent(EV, 1, 10, 900)]) == [Send(EV, 11)]


def test_a_drop_elsewhere_does_not_ask_twice() -> None:
    """Thinning of other records while a segment is being loaded is not its answer."""
    machine = connected(Held(EV, 1, 10), Held(RAW, 1, 30))
    assert machine.handle(BIRTH_ACK, 0) == [Send(EV, 1)]
    assert play(machine, [Dropped(RAW, 1, 10)]) == []
    assert play(machine, [Sent(EV, 1, 10, 900)]) == [Send(RAW, 11)]


def test_what_the_store_no_longer_has_is_passed_over() -> None:
    """send -> dropped -> the next one."""
    machine = connected(Held(RAW, 1, 30))
    assert machine.handle(BIRTH_ACK, 0) == [Send(RAW, 1)]
    assert play(machine, [Dropped(RAW, 1, 10)]) == [Send(RAW, 11)]
    assert machine.backlog() == 20


def test_the_order_after_a_reconnection() -> None:
    """ev first; then live raw, newest first; then roll; then raw of the dark time, oldest first."""
    machine = connected(
        Held(RAW, 1, 30), Held(ROLL, 1, 20), Held(EV, 1, 20), limits=UploadLimits(backfill_turn=99)
    )
    play(machine, [Held(RAW, 31, 50)])
    sends = send_all(machine, machine.handle(BIRTH_ACK, 0))
    assert [(s.stream, s.seq) for s in sends[:4]] == [(EV, 1), (EV, 11), (RAW, 50), (RAW, 40)]
    assert [(s.stream, s.seq) for s in sends[4:6]] == [(ROLL, 1), (ROLL, 11)]
    assert [(s.stream, s.seq) for s in sends[6:]] == [(RAW, 1), (RAW, 11), (RAW, 21)]


def test_an_event_overtakes_everything_that_waits() -> None:
    """A transition sealed in the middle of the backfill is the next to go."""
    machine = connected(Held(RAW, 1, 900))
    assert machine.handle(BIRTH_ACK, 0) == [Send(RAW, 1)]
    assert play(machine, [Held(EV, 1, 10), Sent(RAW, 1, 10, 900)]) == [Send(EV, 1)]


def test_backfill_gets_one_send_in_eight() -> None:
    """However much else waits, the oldest raw moves on, and never before the first ev."""
    limits = UploadLimits(segments_in_flight=999, bytes_in_flight=10**9, bytes_unacked=10**9)
    machine = Uploader(epoch=EPOCH, limits=limits)
    play(machine, [Held(RAW, 1, 1000), Held(ROLL, 1, 1000), Held(EV, 1, 100), Connected(1)])
    sends = send_all(machine, machine.handle(ack({}, birth=True, credit=10**9), 0))
    assert sends[0] == Send(EV, 1)
    places = [at for at, send in enumerate(sends[:90]) if send.stream is RAW]
    assert places == list(range(8, 90, 8))
    assert [sends[at].seq for at in places] == [1 + 10 * n for n in range(len(places))]


def test_each_connection_begins_with_ev() -> None:
    """The turns of the backfill are counted anew, so that P0 is first every time."""
    machine = connected(Held(RAW, 1, 1000))
    send_all(machine, machine.handle(BIRTH_ACK, 0))
    for conn in range(2, 12):
        play(machine, [Disconnected(), Held(EV, conn * 10 - 19, conn * 10 - 10), Connected(conn)])
        (first,) = machine.handle(ack({}, birth=True, conn=conn), 0)
        assert isinstance(first, Send)
        assert first.stream is EV
        play(machine, [Sent(RAW, 1, 10, 10)] * (conn - 1))


def test_at_most_eight_segments_wait_for_a_puback() -> None:
    """eight sent -> nothing; one PUBACK -> one more."""
    machine = connected(Held(RAW, 1, 1000))
    commands = machine.handle(BIRTH_ACK, 0)
    for number in range(8):
        assert commands == [Send(RAW, 1 + 10 * number)]
        commands = play(machine, [Sent(RAW, 1 + 10 * number, 10 + 10 * number, 100)])
    assert commands == []
    assert play(machine, [Published(RAW, 1, 10)]) == [Send(RAW, 81)]


def test_at_most_64_kib_wait_for_a_puback() -> None:
    """A window is open below its limit: large segments fill it sooner."""
    machine = connected(Held(EV, 1, 1000))
    machine.handle(BIRTH_ACK, 0)
    assert play(machine, [Sent(EV, 1, 10, 40_000)]) == [Send(EV, 11)]
    assert play(machine, [Sent(EV, 11, 20, 40_000)]) == []
    assert play(machine, [Published(EV, 1, 10)]) == [Send(EV, 21)]


def test_the_backlog_begins_with_a_small_window_that_quick_pubacks_open() -> None:
    """8 KiB in front of what is live, at first; doubled by each PUBACK that comes quickly."""
    machine = connected(Held(ROLL, 1, 1000))
    machine.handle(BIRTH_ACK, 0)
    assert play(machine, [Sent(ROLL, 1, 10, 9_000)]) == []
    assert play(machine, [Published(ROLL, 1, 10)], now=1) == [Send(ROLL, 11)]
    assert play(machine, [Sent(ROLL, 11, 20, 9_000)], now=1) == [Send(ROLL, 21)]
    assert play(machine, [Sent(ROLL, 21, 30, 9_000)], now=1) == []


def test_a_slow_line_keeps_the_backlogs_window_small() -> None:
    """PUBACKs after twelve seconds: one segment at a time, and what is live goes beside it."""
    machine = connected(Held(ROLL, 1, 1000))
    machine.handle(BIRTH_ACK, 0)
    for turn in range(5):
        first, now = 1 + 10 * turn, 12.0 * turn
        assert play(machine, [Sent(ROLL, first, first + 9, 9_000)], now=now) == []
        sent = play(machine, [Published(ROLL, first, first + 9)], now=now + 12)
        assert sent == [Send(ROLL, first + 10)]
    play(machine, [Sent(ROLL, 51, 60, 9_000)], now=60)
    assert play(machine, [Held(RAW, 1, 10)], now=61) == [Send(RAW, 10)]


def test_old_samples_rest_a_quarter_of_the_time() -> None:
    """Three seconds and what is then on its way, then a third of that as a rest, and again."""
    machine = connected(Held(RAW, 1, 1000))
    assert machine.handle(BIRTH_ACK, 10) == [Send(RAW, 1)]
    assert play(machine, [Sent(RAW, 1, 10, 1000)], now=10) == [Send(RAW, 11)]
    assert play(machine, [Sent(RAW, 11, 20, 1000)], now=13) == []
    assert play(machine, [Published(RAW, 1, 10)], now=14) == []
    assert play(machine, [Published(RAW, 11, 20)], now=16) == []
    assert machine.wakeup_at() == 18.0
    assert machine.handle(Tick(), 17.9) == []
    assert machine.handle(Tick(), 18.0) == [Send(RAW, 21)]


def test_a_rest_is_for_old_samples_only() -> None:
    """Events, live samples and counts go on; the turn that fell into the rest is not lost."""
    limits = UploadLimits(backfill_turn=2)
    machine = connected(Held(RAW, 1, 1000), limits=limits)
    assert machine.handle(BIRTH_ACK, 0) == [Send(RAW, 1)]
    assert play(machine, [Sent(RAW, 1, 10, 1000)], now=0) == [Send(RAW, 11)]
    assert play(machine, [Sent(RAW, 11, 20, 1000)], now=6) == []
    assert play(machine, [Published(RAW, 1, 10), Published(RAW, 11, 20)], now=6) == []
    assert play(machine, [Held(ROLL, 1, 40)], now=6.5) == [Send(ROLL, 1)]
    assert play(machine, [Sent(ROLL, 1, 10, 100)], now=6.5) == [Send(ROLL, 11)]
    assert play(machine, [Sent(ROLL, 11, 20, 100)], now=8) == [Send(RAW, 21)]


def test_a_stalled_line_does_not_make_a_rest_of_minutes() -> None:
    """A minute without a PUBACK says nothing of the time that the line was used."""
    machine = connected(Held(RAW, 1, 20))
    machine.handle(BIRTH_ACK, 0)
    play(machine, [Sent(RAW, 1, 10, 9000)])
    assert play(machine, [Published(RAW, 1, 10)], now=60) == []
    assert machine.wakeup_at() == 65.0


def test_live_samples_that_waited_long_go_first() -> None:
    """Twenty seconds behind a long tale of events: then the oldest live segment, then the rest."""
    machine = connected(Held(EV, 1, 1000))
    assert machine.handle(BIRTH_ACK, 0) == [Send(EV, 1)]
    play(machine, [Held(RAW, 1, 10)], now=1)
    play(machine, [Held(RAW, 11, 20)], now=5)
    assert play(machine, [Sent(EV, 1, 10, 100)], now=20) == [Send(EV, 11)]
    assert play(machine, [Sent(EV, 11, 20, 100)], now=21) == [Send(RAW, 1)]
    assert play(machine, [Sent(RAW, 1, 10, 100)], now=21) == [Send(EV, 21)]
    assert play(machine, [Sent(EV, 21, 30, 100)], now=25) == [Send(RAW, 11)]


def test_at_most_256_kib_wait_for_an_ack() -> None:
    """PUBACKs alone do not open this window: only the server's word does."""
    machine = connected(Held(RAW, 1, 10_000))
    sends = send_all(machine, machine.handle(BIRTH_ACK, 0), size=10_000)
    assert len(sends) == 27
    more = machine.handle(ack({RAW: StreamAck(200)}), 1)
    assert len(send_all(machine, more[1:], size=10_000)) == 20


def test_before_the_servers_first_word_at_most_8_kib_are_sent() -> None:
    """It may be too busy to answer; its first ack opens the whole window."""
    machine = connected(Held(RAW, 1, 10_000))
    assert len(send_all(machine, machine.handle(Tick(), 5.0))) == 9
    more = machine.handle(ack({RAW: StreamAck(10)}), 6.0)
    assert more[1:] == [Send(RAW, 91)]
    assert len(send_all(machine, more[1:], size=10_000)) == 26


def test_the_server_may_lower_the_credit_but_not_raise_it() -> None:
    """A busy server slows everybody; a mistaken one opens no flood."""
    low = connected(Held(RAW, 1, 10_000))
    assert len(send_all(low, low.handle(ack({}, birth=True, credit=20_000), 0))) == 20
    none = connected(Held(RAW, 1, 10_000))
    assert none.handle(ack({}, birth=True, credit=0), 0) == []
    assert none.wakeup_at() is None
    high = connected(Held(RAW, 1, 10_000))
    first = high.handle(ack({}, birth=True, credit=10**9), 0)
    assert len(send_all(high, first, size=10_000)) == 27


def test_a_puback_is_not_storage() -> None:
    """sent, published, disconnected, connected -> sent again."""
    machine = connected(Held(EV, 1, 10))
    send_all(machine, machine.handle(BIRTH_ACK, 0))
    assert machine.backlog() == 10
    play(machine, [Disconnected(), Connected(2)])
    assert machine.handle(ack({}, birth=True, conn=2), 0)[-1] == Send(EV, 1)


def test_an_ack_takes_records_off_the_list_and_is_saved() -> None:
    """ack -> save it; nothing is left to send, nothing is due."""
    machine = connected(Held(EV, 1, 10))
    send_all(machine, machine.handle(BIRTH_ACK, 0))
    assert machine.handle(ack({EV: StreamAck(10)}), 1) == [SaveAck(EV, StreamAck(10))]
    assert machine.backlog() == 0
    assert machine.wakeup_at() is None
    assert machine.handle(ack({EV: StreamAck(10)}), 2) == []


def test_a_birth_ack_is_always_saved() -> None:
    """The save of the last one may have gone with its connection."""
    machine = connected(Held(EV, 1, 10))
    said = {EV: StreamAck(10)}
    assert machine.handle(ack(said), 0) == [SaveAck(EV, StreamAck(10))]
    play(machine, [Disconnected(), Connected(2)])
    assert machine.handle(ack(said, birth=True, conn=2), 0) == [SaveAck(EV, StreamAck(10))]


@pytest.mark.parametrize("wrong", [{"conn": 2}, {"epoch": "ff" * 8}])
def test_an_ack_of_another_connection_or_epoch_is_ignored(wrong: dict[str, object]) -> None:
    """It neither frees anything nor counts as a sign of life."""
    machine = connected(Held(EV, 1, 10))
    foreign = ack({EV: StreamAck(10)}, birth=True, **wrong)  # type: ignore[arg-type]
    assert machine.handle(foreign, 1) == []
    assert machine.backlog() == 10
    assert machine.handle(Tick(), 5) == [Send(EV, 1)]


def test_an_ack_that_goes_backwards_is_obeyed() -> None:
    """A server restored from yesterday's backup gets the rest again."""
    machine = connected(Held(RAW, 1, 50))
    send_all(machine, machine.handle(BIRTH_ACK, 0))
    machine.handle(ack({RAW: StreamAck(50)}), 1)
    back = machine.handle(ack({RAW: StreamAck(20)}), 2)
    assert back == [SaveAck(RAW, StreamAck(20)), Send(RAW, 21)]
    assert machine.backlog() == 30


def test_what_a_restored_server_lost_is_a_backlog() -> None:
    """Sealed on this very connection, yet after the counts, oldest first, and newer goes before."""
    machine = connected()
    machine.handle(BIRTH_ACK, 0)
    for first in (1, 11, 21):
        send_all(machine, machine.handle(Held(RAW, first, first + 9), 1))
    send_all(machine, machine.handle(Held(ROLL, 1, 5), 1))
    machine.handle(ack({RAW: StreamAck(30), ROLL: StreamAck(5)}), 2)
    assert not machine.is_backfilling()
    lost = machine.handle(ack({RAW: StreamAck(10), ROLL: StreamAck(0)}), 3)
    assert machine.is_backfilling()
    assert lost[-1] == Send(ROLL, 1)
    machine.handle(Held(RAW, 31, 40), 3)
    order = [send.seq for send in send_all(machine, lost[-1:]) if send.stream is RAW]
    assert order == [40, 11, 21]


def test_a_hole_in_an_ack_stays_to_be_sent() -> None:
    """through 50 without 21..30 -> 21 is the next."""
    machine = connected(Held(RAW, 1, 50))
    holes = StreamAck(50, ((21, 30),))
    commands = machine.handle(ack({RAW: holes}, birth=True), 0)
    assert commands == [SaveAck(RAW, holes), Send(RAW, 21)]
    assert machine.backlog() == 10


def test_a_new_word_of_a_restarted_server_resends_what_it_never_stored() -> None:
    """A second birth ack on one connection: what was sent and is not in it did not arrive."""
    machine = connected(Held(RAW, 1, 20))
    assert len(send_all(machine, machine.handle(BIRTH_ACK, 0))) == 2
    again = machine.handle(ack({RAW: StreamAck(10)}, birth=True), 9)
    assert again == [SaveAck(RAW, StreamAck(10)), Send(RAW, 11)]


def test_five_minutes_without_an_ack_end_the_connection() -> None:
    """sent at 0, nothing heard -> at 300 s drop it and try another way; then all waits again."""
    machine = connected(Held(RAW, 1, 10))
    send_all(machine, machine.handle(Tick(), 5.0))
    assert machine.wakeup_at() == 300.0
    assert machine.handle(Tick(), 299.9) == []
    assert machine.handle(Tick(), 300.0) == [Reconnect("the server acknowledged nothing")]
    assert machine.wakeup_at() is None
    play(machine, [Connected(2)], now=301)
    assert machine.handle(Tick(), 306.0) == [Send(RAW, 1)]


def test_patience_is_for_what_was_sent() -> None:
    """With nothing on its way the connection may be silent for hours."""
    machine = connected()
    machine.handle(BIRTH_ACK, 0)
    assert machine.wakeup_at() is None
    assert machine.handle(Tick(), 86_400) == []
    assert machine.handle(Held(EV, 1, 10), 86_400) == [Send(EV, 1)]


def test_what_the_broker_lost_is_sent_again_on_a_living_connection() -> None:
    """Others are acknowledged, one is not: after 300 s that one goes again, nothing else."""
    machine = connected(Held(RAW, 1, 30))
    assert len(send_all(machine, machine.handle(BIRTH_ACK, 0))) == 3
    machine.handle(ack({RAW: StreamAck(30, ((11, 20),))}), 250)
    assert machine.handle(Tick(), 299) == []
    assert machine.handle(Tick(), 300) == [Send(RAW, 11)]


def test_an_ack_is_no_word_about_what_is_sealed_later() -> None:
    """A server that has more than was ever sealed here has it of another life of this store."""
    machine = connected(Held(RAW, 1, 10))
    said = machine.handle(ack({RAW: StreamAck(500, ((5, 6), (9, 40)))}, birth=True), 0)
    assert said == [SaveAck(RAW, StreamAck(10, ((5, 6), (9, 10)))), Send(RAW, 5)]
    play(machine, [Held(RAW, 11, 20)])
    assert machine.backlog() == 4 + 10


def test_a_restart_goes_on_from_the_saved_ack() -> None:
    """What the store remembers as acked is not sent to a server that says nothing."""
    machine = Uploader(epoch=EPOCH)
    machine.load_ack(RAW, StreamAck(30, ((11, 20),)))
    play(machine, [Held(RAW, 1, 40), Connected(9)])
    assert machine.backlog() == 20
    assert machine.acked_count(RAW) == 20
    assert [s.seq for s in send_all(machine, machine.handle(Tick(), 5))] == [11, 31]


def test_what_a_status_says_of_the_store() -> None:
    """Bounds of what is held, and whether older records are still going out."""
    machine = connected(Held(RAW, 5, 30), Held(EV, 1, 10))
    assert machine.held_bounds() == {RAW: (5, 30), EV: (1, 10)}
    assert machine.is_backfilling()
    machine.handle(ack({RAW: StreamAck(30)}, birth=True), 0)
    assert not machine.is_backfilling()
    play(machine, [Held(RAW, 31, 40)])
    assert not machine.is_backfilling()
    play(machine, [Disconnected()])
    assert not machine.is_backfilling()


def test_cutting_an_ack_keeps_what_it_says_below() -> None:
    """`within` and `acked_set` agree number by number."""
    said = StreamAck(30, ((1, 2), (8, 12), (20, 30)))
    full = {n for low, high in acked_set(said) for n in range(low, high + 1)}
    for last in range(40):
        cut = acked_set(within(said, last))
        numbers = {n for low, high in cut for n in range(low, high + 1)}
        assert numbers == {n for n in full if n <= last}
