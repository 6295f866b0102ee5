"""One session after the other over a real broker: what goes wrong on the way, and what then."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from linewatch_agent.mqtt.opening import Watch, open_socket
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_agent.uplink.backend import NotNowError
from linewatch_agent.uplink.uplink import BACKOFF_MAX_S, backoff_ceiling_s
from linewatch_agent.uplink.way_order import Way
from linewatch_core.errors import MalformedError
from linewatch_core.records import Stream
from linewatch_core.sync.messages import StreamAck
from linewatch_core.sync.uploader import UploadLimits
from tests.support.broker import HOST, LocalServer, free_ports, received, running_server
from tests.support.uplinks import SERVER_MS, Scene, scene

IMPATIENT = UploadLimits(birth_ack_wait_s=0.05, ack_patience_s=1.0)


pytestmark = pytest.mark.usefixtures("short_waits")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server's directory with its broker running."""
    async with running_server(tmp_path / "server") as running:
        yield running


def way(endpoint: Endpoint, line: str | None = None) -> Way:
    """Return a way over the machine's own routing."""
    return Way(endpoint, line, open_socket)


def states(here: Scene) -> list[tuple[str, int]]:
    """Return what the statuses said: state and connection."""
    said = [json.loads(status) for status in here.statuses()]
    return [(one["state"], one["conn"]) for one in said]


async def retained(server: LocalServer) -> list[tuple[str, int]]:
    """Return what a server that comes anew finds as status."""
    async with server.client() as client:
        await client.subscribe("lw/1/end", qos=1)
        await client.subscribe("lw/1/+/status", qos=1)
        await client.publish("lw/1/end", b"", qos=1)
        said = [json.loads(status) for _, status in await received(client, until="lw/1/end")]
        return [(one["state"], one["conn"]) for one in said]


async def test_a_session_tells_keys_then_birth_then_sends_until_acked(
    server: LocalServer, tmp_path: Path
) -> None:
    """The order that the server needs; what is acked is saved and not sent again."""
    async with scene(server, tmp_path, [way(server.mqtts, "fixed-1")]) as here:
        here.hold(1, 20)
        here.start()
        await here.until(here.statuses)
        assert [topic.split("/", 3)[3] for topic, _ in here.heard] == ["up/keys", "status"]
        assert here.heard[0][1] == b"None -> key-1"
        assert here.segments() == []
        await here.say(10)
        await here.until(here.segments)
        await here.say(20, birth=False)
        await here.until(lambda: here.backend.machine.backlog() == 0)
        assert here.segments() == [b"raw 11"]
        await here.until(lambda: (Stream.RAW, StreamAck(20)) in here.backend.acks)
        assert [ack.server_ms for ack in here.backend.times] == [SERVER_MS]
        state = here.uplink.state
        assert (state.connected, state.line, state.problem) == (True, "fixed-1", None)


async def test_a_session_that_breaks_leaves_the_will(server: LocalServer, tmp_path: Path) -> None:
    """Ended without a farewell, as by a crash: nobody reads `online` for ever."""
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.start()
        await here.until(here.statuses)
        await here.stop()
        await here.until(lambda: len(here.statuses()) == 2)
        assert states(here) == [("online", 1), ("lost", 1)]
        assert await retained(server) == [("lost", 1)]


async def test_a_clean_stop_says_stopped_and_takes_the_will_back(
    server: LocalServer, tmp_path: Path
) -> None:
    """The last word that is kept is ours."""
    async with scene(server, tmp_path, [way(server.wss)]) as here:
        here.start()
        await here.until(lambda: here.uplink.state.connected)
        await here.uplink.farewell()
        await here.stop()
        assert await retained(server) == [("stopped", 1)]
        assert states(here) == [("online", 1), ("stopped", 1)]


async def test_without_presence_nothing_is_kept_at_the_broker(
    server: LocalServer, tmp_path: Path
) -> None:
    """The birth passes by those who listen now; there is no will and no farewell."""
    async with scene(server, tmp_path, [way(server.mqtts)], presence=False) as here:
        here.start()
        await here.until(here.statuses)
        assert await retained(server) == []
        await here.uplink.farewell()
        await here.stop()
        assert await retained(server) == []
        assert states(here) == [("online", 1)]


async def test_every_way_is_tried_and_the_one_that_worked_comes_first(
    server: LocalServer, tmp_path: Path
) -> None:
    """A closed port, a tarpit, one that hangs up, then the server; after a loss, it at once."""
    asked: list[int] = []

    def make(host: str, port: int, watch: Watch) -> socket.socket:
        asked.append(port)
        return open_socket(host, port, watch)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    closed = free_ports(1)[0]
    with socket.create_server((HOST, 0)) as tarpit:
        async with await asyncio.start_server(hang_up, HOST, 0) as rude:
            ports = [closed, tarpit.getsockname()[1], rude.sockets[0].getsockname()[1]]
            ways = [Way(Endpoint("mqtts", HOST, port), None, make) for port in ports]
            ways.append(Way(server.mqtts, None, make))
            async with scene(server, tmp_path, ways, budget_s=1.0) as here:
                here.start()
                await here.until(lambda: here.uplink.state.connected)
                assert asked == [*ports, server.mqtts.port]
                await here.say(0)
                await here.until(lambda: here.backend.times)
                assert here.uplink._session is not None
                here.uplink._session.client.hang_up()
                await here.until(lambda: len(asked) == 5)
                assert asked[4:] == [server.mqtts.port]
                assert here.uplink.state.attempts == 5


async def test_a_broker_that_ends_is_found_again(server: LocalServer, tmp_path: Path) -> None:
    """Killed in a session: what was sent and not acked is sent again on the next connection."""
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.start()
        await here.until(here.statuses)
        await here.say(0)
        here.hold(1, 10)
        await here.until(lambda: here.segments() == [b"raw 1"])
        server.kill_broker()
        await here.until(lambda: not here.uplink.state.connected)
        await here.until(lambda: here.uplink.state.problem)
        await here.until(lambda: here.uplink.state.connected)
        assert here.backend.machine.backlog() == 10


async def test_acks_of_others_and_forgeries_free_nothing(
    server: LocalServer, tmp_path: Path
) -> None:
    """A taken broker can say what it likes: nothing is saved, no time is taken."""
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.hold(1, 10)
        here.start()
        await here.until(here.statuses)
        await here.say(10, signed_with=SigningKey(b"\x07" * 32))
        await here.say(10, probe="a" * 16)
        await here.say(10, conn=99)
        await here.hears.publish(f"lw/1/{here.probe}/down/ack", b"\xff garbage", qos=1)
        await here.say(10, epoch="ff" * 8)
        await here.say(0)
        await here.until(here.segments)
        assert {ack.through for _, ack in here.backend.acks} == {0}
        assert here.backend.machine.backlog() == 10


async def test_a_server_that_never_acks_is_given_up(server: LocalServer, tmp_path: Path) -> None:
    """As when the broker takes messages and delivers none: another connection, another way."""
    ways = [way(server.mqtts), way(server.wss)]
    async with scene(server, tmp_path, ways, limits=IMPATIENT) as here:
        here.hold(1, 10)
        here.start()
        await here.until(lambda: here.backend.conn >= 3 and len(here.segments()) >= 2)
        assert here.segments()[:2] == [b"raw 1", b"raw 1"]
        await here.until(lambda: len(here.statuses()) >= 4)
        assert states(here)[:3] == [("online", 1), ("lost", 1), ("online", 2)]
    assert here.uplink.state.last_ack_s is None
    assert here.uplink.state.reached_s is None


async def test_when_the_server_was_last_heard_outlives_the_connection(
    server: LocalServer, tmp_path: Path
) -> None:
    """A person who looks in an outage wants to know how long it has been."""
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.hold(1, 10)
        here.start()
        await here.until(here.statuses)
        await here.say(0)
        await here.until(lambda: here.uplink.state.reached_s is not None)
        heard_s = here.uplink.state.reached_s
        server.kill_broker()
        await here.until(lambda: not here.uplink.state.connected)
        await here.until(lambda: here.uplink.state.last_ack_s is None)
        assert here.uplink.state.reached_s == heard_s


async def test_a_server_that_lost_something_gets_it_again(
    server: LocalServer, tmp_path: Path
) -> None:
    """Restarted behind a broker that went on, it answers the kept birth with what it really has."""
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.hold(1, 20)
        here.start()
        await here.until(here.statuses)
        await here.say(0)
        await here.until(lambda: len(here.segments()) == 2)
        await here.say(20, birth=False)
        await here.until(lambda: here.backend.machine.backlog() == 0)
        await here.say(10, birth=True)
        await here.until(lambda: len(here.segments()) == 3)
        assert here.segments()[-1] == b"raw 11"
        assert len(here.backend.times) == 1, "a later birth ack has no round trip to measure by"


async def test_a_new_key_is_told_before_what_it_signed(server: LocalServer, tmp_path: Path) -> None:
    """Rotated within a session that lasts for days: or all that follows would be refused."""
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.start()
        await here.until(here.statuses)
        await here.say(0)
        await here.until(lambda: here.backend.times)
        here.backend.key = "key-2"
        here.hold(1, 10)
        await here.until(here.segments)
        assert [data for _, data in here.heard][-2:] == [b"key-1 -> key-2", b"raw 1"]
        here.hold(11, 20)
        await here.until(lambda: len(here.segments()) == 2)
        assert [data for _, data in here.heard].count(b"key-1 -> key-2") == 1


async def test_a_key_that_the_server_missed_is_told_again(
    server: LocalServer, tmp_path: Path
) -> None:
    """Told while nobody listened behind the broker: the first ack shows it, and it goes again."""
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.hold(1, 10)
        here.start()
        await here.until(here.statuses)
        await here.say(0, key="key-0")
        await here.until(here.segments)
        assert [data for _, data in here.heard][-2:] == [b"key-0 -> key-1", b"raw 1"]


async def test_a_segment_that_went_meanwhile_is_passed_over(
    server: LocalServer, tmp_path: Path
) -> None:
    """Thinned between the command and its turn: the next one goes."""
    async with scene(server, tmp_path, [way(server.mqtts)], limits=IMPATIENT) as here:
        here.backend.missing = set(range(1, 11))
        here.hold(1, 20)
        here.start()
        await here.until(here.segments)
        assert here.segments()[0] == b"raw 11"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MalformedError("cannot use this probe's certificate: enrol again"), "enrol again"),
        (PermissionError(13, "Permission denied"), "cannot read this probe's certificate"),
    ],
)
async def test_a_damaged_certificate_is_a_problem_not_the_end(
    server: LocalServer, tmp_path: Path, error: Exception, says: str
) -> None:
    """Measuring goes on, the reason is shown, and mending the file is enough."""
    broken = [error]

    def tls() -> object:
        if broken:
            raise broken[0]
        from tests.support.uplinks import identity_tls

        return identity_tls(here.identity)

    async with scene(server, tmp_path, [way(server.mqtts)], tls=tls) as here:  # type: ignore[arg-type]
        here.start()
        await here.until(lambda: here.uplink.state.attempts > 2)
        assert says in str(here.uplink.state.problem)
        broken.clear()
        await here.until(lambda: here.uplink.state.connected)


async def test_a_full_disk_ends_the_session_only(server: LocalServer, tmp_path: Path) -> None:
    """The store that can't count a connection now may later."""
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.backend.fails = NotNowError("no space left")
        here.start()
        await here.until(lambda: here.uplink.state.attempts > 2)
        assert here.uplink.state.problem == "no space left"
        here.backend.fails = None
        await here.until(lambda: here.uplink.state.connected)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MalformedError("damaged")])
async def test_what_nobody_expected_ends_the_agent(
    server: LocalServer, tmp_path: Path, error: Exception
) -> None:
    """A bug, or a store that proves damaged while it is read for sending, is not a bad line."""
    async with scene(server, tmp_path, [way(server.mqtts)], limits=IMPATIENT) as here:
        here.hold(1, 10)
        here.start()
        await here.until(lambda: here.uplink.state.connected)
        here.backend.fails = error
        task, here.task = here.task, None
        assert task is not None
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(120):
                await task
        assert caught.value.subgroup(type(error)) is not None


async def test_a_stop_while_a_session_fails_is_a_stop(server: LocalServer, tmp_path: Path) -> None:
    """The session's own failure hides that it was cancelled: the uplink ends all the same."""
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        waiting = asyncio.Event()

        async def next_conn() -> int:
            waiting.set()
            try:
                await asyncio.sleep(3600)
            finally:
                raise NotNowError("no space left")

        here.backend.next_conn = next_conn  # type: ignore[method-assign]
        here.start()
        assert here.task is not None
        await waiting.wait()
        here.task.cancel()
        await here.until(lambda: here.task is None or here.task.cancelled())


async def test_no_way_at_all_is_waited_out(server: LocalServer, tmp_path: Path) -> None:
    """With no usable line there is nothing to try, and no busy loop."""
    async with scene(server, tmp_path, []) as here:
        here.start()
        await asyncio.sleep(0.1)
        assert here.uplink.state.attempts == 0
        here.backend.all_ways = [way(server.mqtts)]
        await here.until(lambda: here.uplink.state.connected)


async def test_waits_grow_with_the_failures(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """Full jitter below a ceiling that doubles, up to the cap."""
    async with scene(server, tmp_path, [way(Endpoint("mqtts", HOST, free_ports(1)[0]))]) as here:
        here.start()
        await here.until(lambda: len(short_waits) >= 10)
        assert short_waits[:10] == [4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert backoff_ceiling_s(10_000, max_s=BACKOFF_MAX_S) == BACKOFF_MAX_S
    assert backoff_ceiling_s(0, max_s=BACKOFF_MAX_S) == 2


@pytest.mark.parametrize("when", ["during the wait", "during the attempt"])
async def test_a_line_that_answers_again_shortens_the_wait(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The wait of minutes ends within seconds, also if the line came back while we tried."""
    waits: list[float] = []

    def uniform(_: float, ceiling: float) -> float:
        waits.append(ceiling)
        return 0.0 if len(waits) % 2 == 0 else 3600.0

    monkeypatch.setattr(random, "uniform", uniform)
    nobody = way(Endpoint("mqtts", HOST, free_ports(1)[0]))

    def make(host: str, port: int, watch: Watch) -> socket.socket:
        if when == "during the attempt":
            loop.call_soon_threadsafe(here.uplink.poke)
        return open_socket(host, port, watch)

    loop = asyncio.get_running_loop()
    async with scene(server, tmp_path, [replace(nobody, make_socket=make)]) as here:
        here.start()
        await here.until(lambda: here.uplink.state.attempts and waits)
        if when == "during the wait":
            here.uplink.poke()
        await here.until(lambda: here.uplink.state.attempts >= 2)


async def test_draining_waits_for_the_last_ack_but_not_for_ever(
    server: LocalServer, tmp_path: Path
) -> None:
    """A stop gives the server a moment; whatever it does, the stop goes on."""
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.hold(1, 10)
        here.start()
        await here.until(here.statuses)
        await here.uplink.drain(0.05)
        assert here.backend.machine.backlog() == 10
        draining = asyncio.create_task(here.uplink.drain(15))
        await here.say(10)
        await draining
        assert here.backend.machine.backlog() == 0


async def test_a_good_session_that_the_server_cut_is_renewed_within_the_fleets_spread(
    server: LocalServer,
    tmp_path: Path,
    short_waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker is killed under everybody; nobody may be back before his turn."""
    monkeypatch.setattr("linewatch_agent.uplink.uplink.STEADY_S", 0.0)
    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.start()
        await here.until(here.statuses)
        await here.say(0, spread_s=200)
        await here.until(lambda: here.backend.times)
        server.kill_broker()
        await here.until(lambda: short_waits)
        assert short_waits[0] == 200


async def test_a_start_waits_for_its_turn_in_the_fleets_spread(
    server: LocalServer, tmp_path: Path, short_waits: list[float]
) -> None:
    """Power came back everywhere at once: what the server set before is remembered."""
    kept = b'{"spread_s": 200}'
    async with scene(server, tmp_path, [way(server.mqtts)], kept=kept) as here:
        here.start()
        await here.until(lambda: here.uplink.state.connected)
        assert short_waits == [200]


async def test_a_good_session_over_a_line_that_went_away_is_renewed_at_once(
    server: LocalServer,
    tmp_path: Path,
    short_waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own trouble, not the fleet's: another line may get through."""
    monkeypatch.setattr("linewatch_agent.uplink.uplink.STEADY_S", 0.0)
    async with scene(server, tmp_path, [way(server.mqtts, "fixed-1")]) as here:
        here.start()
        await here.until(here.statuses)
        await here.say(0, spread_s=200)
        await here.until(lambda: here.backend.times)
        here.backend.all_ways = [way(server.mqtts, "mobile-1")]
        server.kill_broker()
        await here.until(lambda: short_waits)
        assert short_waits[0] == 2


async def test_pokes_in_quick_succession_are_one(server: LocalServer, tmp_path: Path) -> None:
    """A target that comes and goes must not undo the backoff; a minute later it counts again."""
    async with scene(server, tmp_path, []) as here:
        moments = [1000.0, 1030.0, 1059.9, 1060.0]
        poked = []
        for moment in moments:
            here.uplink._now_s = partial(float, moment)
            here.uplink._poked.clear()
            here.uplink.poke("fixed-1")
            poked.append(here.uplink._poked.is_set())
        assert poked == [True, False, False, True]


async def test_a_memory_that_cannot_be_kept_is_not_worth_a_session(
    server: LocalServer, tmp_path: Path
) -> None:
    """On a full disk acks still come in, and make room; it is tried again with each."""
    tried = 0

    async def full(memory: bytes) -> None:
        nonlocal tried
        tried += 1
        raise NotNowError("no space left")

    async with scene(server, tmp_path, [way(server.mqtts)]) as here:
        here.backend.remember = full  # type: ignore[method-assign]
        here.hold(1, 20)
        here.start()
        await here.until(here.statuses)
        await here.say(10, spread_s=5)
        await here.until(here.segments)
        await here.say(20, birth=False)
        await here.until(lambda: here.backend.machine.backlog() == 0)
        assert (tried, here.backend.conn) == (2, 1)
