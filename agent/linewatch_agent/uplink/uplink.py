"""The driver of the uploader machine: one MQTT session at a time, over one line.

It does what the machine says and tells it what happened; it decides only
which way to try next and how long to wait. A new client object for every
connection, since a reused one sends again what it had queued.
Source: docs/wire-format.md, "Sync".
"""

import asyncio
import random
from collections.abc import Callable
from enum import Enum, auto
from functools import partial

import aiomqtt
import structlog
from nacl.signing import VerifyKey

from linewatch_agent.mqtt.client import LineClient
from linewatch_agent.mqtt.connect_problem import REFUSALS, Problem, ProblemKind, problem_of
from linewatch_agent.mqtt.fleet_tls import FleetContext
from linewatch_agent.mqtt.opening import BUDGET_S
from linewatch_agent.mqtt.versions import Versions, connected
from linewatch_agent.uplink.backend import Backend, NotNowError
from linewatch_agent.uplink.memory import UplinkMemory
from linewatch_agent.uplink.session import Link, Session, SessionOverError
from linewatch_agent.uplink.way_order import Way
from linewatch_core.errors import LinewatchError, first_error
from linewatch_core.ids import ProbeId
from linewatch_core.sync import topics
from linewatch_core.sync.messages import encode_status
from linewatch_core.sync.upload_talk import (
    Disconnected,
    Event,
)
from linewatch_core.sync.uploader import Uploader

log = structlog.get_logger()

BACKOFF_BASE_S = 2.0
BACKOFF_MAX_S = 300.0
STEADY_S = 60.0
"""A session counts as good, and the backoff starts anew, after this long and one ack."""
POKE_SPREAD_S = 5.0
"""When a dark line answers again, the next try comes within this: every probe sees it at once."""
POKE_SPREAD_MAX_S = 30.0
"""The same in a large fleet: a tenth of the fleet's spread, but no more of a short restoration."""
POKE_QUIET_S = 60.0
BUSY_WAIT_S = 60.0


class _End(Enum):
    """How an attempt ended."""

    UNREACHED = auto()
    """No session came about, or the broker refuses what belongs to one."""
    UNWANTED = auto()
    """The server refuses this probe."""
    BUSY = auto()
    """The broker asks for patience."""
    BRIEF = auto()
    """A session that was not a good one."""
    SILENT = auto()
    """A good session over a line that went silent: its own trouble, most likely."""
    CUT = auto()
    """The server's end cut a session that it had acknowledged: then everybody's, maybe."""


def backoff_ceiling_s(failures: int, *, max_s: float) -> float:
    """Return the most that is waited after so many rounds of failures in a row."""
    return min(max_s, BACKOFF_BASE_S * 2.0 ** min(failures, 16))


def _end_if_cancelled() -> None:
    """Raise CancelledError if the running task was cancelled.

    Our cancellation is passed to the session's task; one that is just failing ends
    with its own error instead, and we would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Uplink:
    """Keeps one session with the server as long as there is a way to it."""

    def __init__(
        self,
        *,
        probe: ProbeId,
        machine: Uploader,
        backend: Backend,
        ack_key: VerifyKey,
        tls: Callable[[], FleetContext],
        now_s: Callable[[], float],
        presence: bool = True,
        keepalive_s: int = 60,
        backoff_max_s: float = BACKOFF_MAX_S,
        budget_s: float = BUDGET_S,
    ) -> None:
        self._probe = probe
        self._machine = machine
        self._backend = backend
        self._tls = tls
        self._now_s = now_s
        self._presence = presence
        self._keepalive_s = keepalive_s
        self._backoff_max_s = backoff_max_s
        self._budget_s = budget_s
        self._memory = UplinkMemory(backend.recall())
        self._link = Link(
            probe, machine, backend, ack_key, now_s, presence=presence, memory=self._memory
        )
        self._order = self._link.order
        self.state = self._link.state
        self._versions = Versions(now_s)
        self._poked = asyncio.Event()
        self._poked_s: float | None = None
        self._session: Session | None = None
        self._cut = False
        self._was_steady = False
        self._failing: dict[str | None, str | None] = {}

    def feed(self, event: Event) -> None:
        """Tell the machine of something; its commands run in the session, if there is one."""
        self._link.feed(event)

    def poke(self, line: str | None = None) -> None:
        """A line that was dark answers: try soon, and over that one first.

        Once a minute at most, or a target that comes and goes would undo the backoff.
        """
        now_s = self._now_s()
        if self._poked_s is not None and now_s - self._poked_s < POKE_QUIET_S:
            return
        self._poked_s = now_s
        if line is not None and not self.state.connected:
            self._order.lively(line)
        self._poked.set()

    async def run(self) -> None:
        """Try one way after the other, for ever."""
        failures = 0
        # All probes may have been started at once: power came back, or an update did.
        if self._memory.spread_s:
            await self._wait_for_turn()
        while True:
            self._poked.clear()
            end = await self._round()
            failures = 0 if self._was_steady else failures
            failures += end not in (_End.SILENT, _End.CUT)
            match end:
                case _End.CUT:
                    await self._wait_for_turn()
                case _End.UNWANTED:
                    await self._pause(self._backoff_max_s)
                case _End.BUSY:
                    ceiling_s = self._ceiling_s(failures)
                    await self._pause(max(ceiling_s, BUSY_WAIT_S, self._memory.spread_s))
                case _:
                    spread_s = self._memory.spread_s if self._cut else 0
                    await self._pause(max(self._ceiling_s(failures), spread_s))

    async def _round(self) -> _End:
        """Try the ways until there was a session; return how the last attempt ended.

        A line that comes back to life meanwhile comes first of those that are left.
        """
        ends: list[_End] = []
        busy: set[str] = set()
        self._was_steady = False
        ways = self._order.order(self._backend.ways(), addresses=self._memory.addresses)
        while ways:
            way, *ways = ways
            if way.endpoint.host in busy:
                continue
            ends.append(await self._attempt(way))
            match ends[-1]:
                case _End.BUSY:
                    busy.add(way.endpoint.host)
                case _End.BRIEF | _End.SILENT | _End.CUT:
                    return ends[-1]
                case _:
                    ways = self._order.order(ways, addresses={})
        for telling in (_End.BUSY, _End.UNWANTED):
            if telling in ends:
                return telling
        return _End.UNREACHED

    async def drain(self, patience_s: float) -> None:
        """Wait until the server has everything, but no longer than `patience_s`."""
        try:
            async with asyncio.timeout(patience_s):
                while self._machine.backlog():
                    self._link.acked.clear()
                    await self._link.acked.wait()
        except TimeoutError:
            log.info("uplink_ends_with_backlog", records=self._machine.backlog())

    async def farewell(self) -> None:
        """Say `stopped` on the present connection, if there is one; it is the last word."""
        if self._session is not None and self._session.reached:
            await self._session.farewell()

    def _ceiling_s(self, failures: int) -> float:
        return backoff_ceiling_s(failures, max_s=self._backoff_max_s)

    async def _wait_for_turn(self) -> None:
        """Wait for our own random place in the spread that the server set.

        Nothing shortens it: what would, every probe of the fleet sees at the same moment.
        """
        await asyncio.sleep(random.uniform(0, max(BACKOFF_BASE_S, self._memory.spread_s)))

    async def _pause(self, ceiling_s: float) -> None:
        """Wait with full jitter; a poke shortens the wait, also one that came while we tried."""
        wait_s = random.uniform(0, ceiling_s)
        try:
            async with asyncio.timeout(wait_s):
                await self._poked.wait()
        except TimeoutError:
            return
        spread_s = min(POKE_SPREAD_MAX_S, max(POKE_SPREAD_S, self._memory.spread_s / 10))
        await asyncio.sleep(min(wait_s, random.uniform(0, spread_s)))

    async def _attempt(self, way: Way) -> _End:
        """Run one session over `way` until it ends; return how it did."""
        self.state.attempts += 1
        began_s = self._now_s()
        self.state.last_ack_s = None
        self._session = None
        self._cut = False
        problem: Problem | None = None
        try:
            # In a task of its own: a TaskGroup that fails leaves its task marked as being
            # cancelled before Python 3.11.4, and asyncio.timeout then cancels for good.
            await asyncio.create_task(self._hold_session(way), name="uplink-session")
        except* SessionOverError as group:
            over = first_error(group)
            assert isinstance(over, SessionOverError)
            problem = over.problem
        except* NotNowError as group:
            problem = Problem(ProblemKind.UNREACHED, str(first_error(group)))
        except* (aiomqtt.MqttError, OSError, TimeoutError) as group:
            problem = problem_of(first_error(group))
        finally:
            self.state.connected = False
            self.feed(Disconnected())
        _end_if_cancelled()
        reached = self._session is not None and self._session.reached
        self._session = None
        self.state.problem = None if problem is None else problem.text
        self._log_end(way.line)
        kind = ProblemKind.UNREACHED if problem is None else problem.kind
        if reached:
            lasted_s = self._now_s() - began_s
            self._was_steady = self.state.last_ack_s is not None and lasted_s >= STEADY_S
            if kind not in REFUSALS:
                return self._how_it_ended(way)
            # Whatever was acknowledged before: here the same would be refused again.
            self._order.mute(way)
        match kind:
            case ProblemKind.CREDENTIALS:
                return _End.UNWANTED
            case ProblemKind.BUSY:
                return _End.BUSY
        return _End.UNREACHED

    def _how_it_ended(self, way: Way) -> _End:
        if self.state.last_ack_s is None:
            # The broker may be cut off from the server, or refuse what we publish without
            # a word, as one of MQTT 3.1.1 must: only another way tells.
            self._order.mute(way)
            return _End.BRIEF
        usable = any(one.line == way.line for one in self._backend.ways())
        self._cut = self._cut and usable
        if not self._was_steady:
            return _End.BRIEF
        return _End.CUT if self._cut else _End.SILENT

    def _log_end(self, line: str | None) -> None:
        """Log that a session ended; a way that goes on failing the same way is no news."""
        if self._failing.get(line) != self.state.problem:
            log.info("uplink_ended", problem=self.state.problem, line=line)
        self._failing[line] = self.state.problem

    async def _hold_session(self, way: Way) -> None:
        conn = await self._backend.next_conn()
        while not self._link.commands.empty():
            self._link.commands.get_nowait()
        make = partial(
            LineClient,
            way.endpoint,
            tls=self._fleet_context(),
            identifier=self._probe,
            make_socket=way.make_socket,
            budget_s=self._budget_s,
            keepalive_s=self._keepalive_s,
            will=self._will(conn),
            on_bytes=partial(self._backend.traffic, way.line),
        )
        async with connected(way.endpoint, make, versions=self._versions) as client:
            self._session = Session(self._link, client, way, conn)
            try:
                await self._session.run(self._on_reached)
            except BaseException:
                self._cut = client.was_hung_up
                if not self._session.stopped:
                    # A polite end would take the will back, and `online` would stay for ever.
                    client.hang_up()
                raise

    def _on_reached(self) -> None:
        self._poked.clear()
        self._failing.clear()

    def _fleet_context(self) -> FleetContext:
        try:
            context = self._tls()
        except LinewatchError as error:
            raise SessionOverError(Problem(ProblemKind.UNREACHED, str(error))) from error
        except OSError as error:
            reason = f"cannot read this probe's certificate or its key: {error.strerror}"
            raise SessionOverError(Problem(ProblemKind.UNREACHED, reason)) from error
        context.floor_s = self._memory.floor_s(self._now_s())
        return context

    def _will(self, conn: int) -> aiomqtt.Will | None:
        if not self._presence:
            return None
        lost = encode_status(self._backend.status(conn, state="lost"))
        return aiomqtt.Will(topics.status(self._probe), lost, qos=1, retain=True)
