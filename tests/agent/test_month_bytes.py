"""What a month of the default schedule costs a line, added up from real bytes on the wire.

The real agent with the default targets, 60 times as fast (tests/support/fast_agent.py),
in a namespace where all that the targets name is answered by local servers; its uplink goes
over the same line, to a real broker and server. The kernel's own counters of IP say what
was sent and received. How fast the machine is does not matter: rounds are counted, not time.
"""

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from linewatch_agent.checks.icmp_packets import ECHO_BYTES
from linewatch_agent.plan.config import Config
from linewatch_agent.plan.target_choice import resolve_targets
from linewatch_agent.plan.target_words import address_version
from linewatch_agent.status import ask
from linewatch_agent.targets import load_target_sets
from linewatch_agent.tcp_facts import IP_HEADER_BYTES
from linewatch_core.targets import Target
from tests.agent.checks.servers import answer, dns_server
from tests.support.fast_agent import MONTH_S, ROUND_S
from tests.support.netns import namespaces, wire
from tests.support.world import AGENT, HOME4, ISP4, SERVER, World

FACTOR = 60
ROUNDS = {"normal": 40, "frugal": 60}
"""So many are counted: two or three of the longest `every`, two of the frugal line's sendings."""
PAGES = {
    "connectivitycheck.gstatic.com": ("204 No Content", ""),
    "captive.apple.com": (
        "200 OK",
        "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>",
    ),
}
USUAL_HEADERS = (
    "Server: nginx\r\nDate: Sun, 03 May 2026 12:00:00 GMT\r\nCache-Control: max-age=300\r\n"
)
LINE = f"""
[[line]]
id = "mobile-1"
device = "eth0"
resolvers = ["{ISP4}"]
gateway4 = "{ISP4}"
"""
PROFILES = {"normal": "", "frugal": '[budget]\nprofile = "frugal"\n'}
CAP_MB = {"normal": 150, "frugal": 30}
TOLD = (0.96, 1.08)
"""The ledger beside the wire, least and most: what lies between the last count and the last packet
is missing, and look-ups for the uplink are reckoned rather too high."""
PLANNED = 1.1
"""A month at the pace of its first minutes, in budgets: that much a plan may be mistaken, as
where packets are lost. The ledger sees to the rest (tests/agent/plan/test_budget.py)."""
CUTS = 12
MQTTS_PORT, WSS_PORT = 8883, 8443
"""Where the server's broker listens by default."""


def default_targets() -> tuple[Target, ...]:
    """Return what the default configuration measures."""
    return resolve_targets(Config(), load_target_sets(Config().targets.sets, Path()))


def literals() -> list[str]:
    """Return the IPv4 addresses that targets name."""
    hosts = {target.host for target in default_targets()}
    return sorted(host for host in hosts if address_version(host) == 4)


def named() -> dict[str, str]:
    """Return an address for every name that is asked for: public ones, which no rule suspects."""
    asked = {name for target in default_targets() for name in (target.host, target.query) if name}
    names = sorted(
        name for name in asked if address_version(name) is None and not name.startswith("@")
    )
    return {name: f"93.184.216.{number}" for number, name in enumerate(names, 1)}


async def serve() -> None:
    """Answer as all of the default targets would, for ever."""
    addresses = named()

    def script(query: dns.message.Message) -> list[tuple[float, bytes]]:
        found = addresses.get(query.question[0].name.to_text(omit_final_dot=True))
        unknown = answer(query, rcode=dns.rcode.NXDOMAIN)
        return [(0.0, unknown if found is None else answer(query, found))]

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            host = request.partition("Host: ")[2].partition("\r\n")[0]
            status, body = PAGES[host]
            head = f"HTTP/1.1 {status}\r\n{USUAL_HEADERS}Content-Length: {len(body)}\r\n\r\n"
            writer.write((head + body).encode())
            await writer.drain()
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        for address in (ISP4, *literals()):
            await stack.enter_async_context(dns_server(script, host=address, port=53))
        for address in (*addresses.values(), *literals()):
            for port in sorted({target.port for target in default_targets()} | {80}):
                await asyncio.start_server(page, address, port)
        print("ready", flush=True)
        await asyncio.Event().wait()


@dataclass(frozen=True)
class Counted:
    """What stood on the counters at one moment."""

    rounds: int
    ledger_bytes: int
    wire_bytes: int
    step: int
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Month:
    """What was counted between two moments, and what it makes in a month."""

    before: Counted
    after: Counted

    @property
    def rounds(self) -> int:
        """Rounds in between."""
        return self.after.rounds - self.before.rounds

    @property
    def wire_bytes(self) -> int:
        """Bytes of IP both ways, without the pings of the gateway, which never leave the home."""
        pings = self.rounds * 2 * (IP_HEADER_BYTES[4] + ECHO_BYTES)
        return self.after.wire_bytes - self.before.wire_bytes - pings

    @property
    def told(self) -> float:
        """What the ledger says, as a share of what the kernel counted."""
        return (self.after.ledger_bytes - self.before.ledger_bytes) / self.wire_bytes

    @property
    def month_mb(self) -> float:
        """The month's bytes on the wire, in 10**6."""
        return self.wire_bytes / self.rounds * (MONTH_S / ROUND_S) / 1e6


def counted(near: World) -> Counted:
    """Read the ledger and the kernel's counters, at a moment when neither moves.

    What passes between two readings is missing in one, so a slow machine would have the say.
    """
    pid, deadline = ask(near.state)["pid"], time.monotonic() + 60
    wire_bytes, status = -1, {}
    while octets(pid) != wire_bytes:
        assert time.monotonic() < deadline, "something is on the wire all the time"
        wire_bytes = octets(pid)
        time.sleep(0.005)
        status = ask(near.state)
    line = status["lines"][0]
    return Counted(
        rounds=status["round"]["rounds"],
        ledger_bytes=line["month_bytes"],
        wire_bytes=wire_bytes,
        step=line["budget_step"],
        failed=tuple(
            f"{one['target']} {one['check']}: {one['failure']}"
            for one in status["samples"]
            if one["failure"] is not None
        ),
    )


def octets(pid: int) -> int:
    """Return what IP has carried both ways in the network of a process."""
    told = Path(f"/proc/{pid}/net/netstat").read_text().splitlines()
    names, values = (line.split() for line in told if line.startswith("IpExt:"))
    kernel = dict(zip(names, values, strict=True))
    return int(kernel["InOctets"]) + int(kernel["OutOctets"])


def start(folder: Path, config: str) -> tuple[World, contextlib.ExitStack]:
    """Start server, sites and agent; return the probe's side, connected, and what ends it all."""
    with contextlib.ExitStack() as stack:
        home, isp = stack.enter_context(namespaces("home", "isp"))
        wire((home, "eth0", (f"{HOME4}/24",)), (isp, "isp0", (f"{ISP4}/24",)))
        home.run("ip", "route", "add", "default", "via", ISP4)
        home.allow_ping()
        for address in (*named().values(), *literals()):
            isp.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        isp.serve("tests.agent.test_month_bytes:serve")
        far, near = World(isp, home, folder), World(home, isp, folder)
        stack.callback(far.stop_all)
        far.command(*SERVER, "init", far.server, "--host", ISP4)
        far.start_server()
        token = folder / "token.toml"
        token.write_text(far.command(*SERVER, "enrol", far.server, "--label", "test").stdout)
        near.command(*AGENT, "enrol", token, "--state", near.state)
        near.config.write_text(config)
        stack.callback(near.stop_all)
        fast = (sys.executable, "-m", "tests.support.fast_agent", str(FACTOR))
        near.start("agent", *fast, "run", "--config", near.config, "--state", near.state)
        near.until("connecting", lambda: "uplink_connected" in near.log("agent"))
        return near, stack.pop_all()


@pytest.fixture(scope="module", params=["normal", pytest.param("frugal", marks=pytest.mark.slow)])
def profile(request: pytest.FixtureRequest) -> str:
    """The profile of a month: each takes some 40 s."""
    return str(request.param)


@pytest.fixture(scope="module")
def month(profile: str, tmp_path_factory: pytest.TempPathFactory) -> Month:
    """A month of a profile, with a line, a broker and a server of its own."""
    near, running = start(tmp_path_factory.mktemp(profile), LINE + PROFILES[profile])
    with running:
        before = counted(near)
        await_rounds(near, before.rounds + ROUNDS[profile])
        return Month(before, counted(near))


def await_rounds(near: World, number: int) -> None:
    """Wait until so many rounds have begun since the agent's start."""
    while (missing := number - counted(near).rounds) > 0:
        time.sleep(missing * ROUND_S / FACTOR)


def test_the_ledger_tells_what_the_wire_carried(month: Month) -> None:
    """Checks and uplink together, keepalives and all, against the kernel's bytes."""
    assert TOLD[0] <= month.told <= TOLD[1]


def test_a_month_fits_its_budget_on_the_wire(month: Month, profile: str) -> None:
    """Real bytes of rounds as they ran, the ladder acting, times the rounds of a month."""
    print(f"{profile}: {month.month_mb:.1f} MB, {month.told:.3f} told, step {month.after.step}")
    assert month.after.step > 0
    assert month.month_mb <= PLANNED * CAP_MB[profile]


def test_what_connecting_costs_is_counted_too(tmp_path: Path) -> None:
    """A line whose connection is cut again and again: TLS, MQTT, keys, and what failed."""
    near, running = start(tmp_path, LINE)
    with running:
        # Each target's check finds who answers: else the bytes would be those of failures.
        near.until("every check succeeding", lambda: counted(near).failed == ())
        near.until("hearing the server", partial(is_connected_again, near, 0))
        before = counted(near)
        for _ in range(CUTS):
            so_far = connections(near)
            near.home.run("ss", "--kill", f"( dport = :{MQTTS_PORT} or dport = :{WSS_PORT} )")
            near.until("connecting anew", partial(is_connected_again, near, so_far))
        after = counted(near)
    month = Month(before, after)
    print(f"{CUTS} cuts: {month.wire_bytes} bytes on the wire, {month.told:.3f} told")
    assert month.wire_bytes > CUTS * 7_000
    assert TOLD[0] <= month.told <= TOLD[1]


def is_connected_again(near: World, so_far: int) -> bool:
    """Return whether the agent was connected more often than that, and heard the server since.

    A connection that is cut before that has the agent go to the server's other port.
    """
    is_heard = ask(near.state)["uplink"]["last_ack_ago_s"] is not None
    return is_heard and connections(near) > so_far


def connections(near: World) -> int:
    """Return how often the agent was connected so far."""
    return near.log("agent").count("uplink_connected")
