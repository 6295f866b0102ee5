"""`make demo`: a server, its broker and a probe on this machine's real lines.

With `--outage S` the broker goes away for S seconds while the probe measures
on, and the demo ends with an account: measured, stored exactly once, missing.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live

from demo.processes import (
    AGENT,
    SERVER,
    DemoError,
    Ports,
    Programs,
    choose_ports,
    get_json,
    run,
)
from demo.table import History, render
from linewatch_agent.status import NotRunningError, ask

BEFORE_S = 20
"""How long the demo measures before it takes the broker away."""
AFTER_MAX_S = 120
REFRESH_S = 0.5

_AGENT_CONFIG = """\
# The demo's probe: the defaults, but faster, so that something is seen at once.
[schedule]
period_s = 5.0
jitter_s = 0.2
timeout_s = 3.0

[budget]
month_mb = 1_000_000   # so fast, the usual 150 MB a month would slow it down at once

[store]
commit_s = 2.0
live_close_s = 2.0

[uplink]
bind = "any"        # the server is this machine
retry_max_s = 5.0
"""

_CLOCK = """
# The demo's probe and server share this machine's clock: it is the reference.
error_ms = 10
"""


class _Interrupted(Exception):
    """Ctrl-C, or the demo was told to end."""


@dataclass(slots=True)
class Demo:
    """One demo: its programs, and what the live table shows."""

    programs: Programs
    ports: Ports
    probe: str
    live: Live
    history: History

    @property
    def page(self) -> str:
        """The address of the coordinator page."""
        return f"http://127.0.0.1:{self.ports.web}/"

    def status(self) -> dict[str, Any] | None:
        """Ask the probe how it is, as `linewatch-agent status` does."""
        try:
            return ask(self.programs.folder / "probe")
        except NotRunningError:
            return None

    def stored(self) -> int | None:
        """Ask the server how many records of the probe it has; None if it is silent."""
        fleet = get_json(f"{self.page}api/fleet")
        if fleet is None:
            return None
        return sum(
            int(stream["records"])
            for probe in fleet["probes"]
            if probe["probe"] == self.probe
            for stream in probe["streams"]
        )

    def show(self, phase: str, until: Callable[[dict[str, Any] | None], bool]) -> bool:
        """Keep the table fresh until `until(status)` is true; return whether it came to that."""
        while True:
            self.programs.check()
            status = self.status()
            if status is not None:
                self.history.take(status)
            stored = self.stored()
            self.live.update(
                render(
                    self.history,
                    status,
                    stored,
                    page=self.page,
                    phase=phase,
                    width=self.live.console.width,
                ),
                refresh=True,
            )
            if until(status):
                return True
            time.sleep(REFRESH_S)


def main() -> int:
    """Run the demo; exit code 0 unless something failed or a record is missing."""
    options = _options()
    console = Console()
    programs: Programs | None = None
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        programs = Programs.in_fresh(options.state)
        return _run(console, programs, options)
    except DemoError as error:
        console.print(f"demo: {error}", style="red", markup=False)
        return 1
    except _Interrupted:
        console.print("Stopped.")
        return 0
    finally:
        # A second Ctrl-C must not cut the end short and leave programs behind.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if programs is not None:
            programs.stop_all()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--outage", type=int, metavar="S", help="take the broker away for S seconds"
    )
    parser.add_argument(
        "--duration", type=int, metavar="S", help="end by itself after S seconds (default: Ctrl-C)"
    )
    parser.add_argument(
        "--state", type=Path, default=Path("demo-state"), metavar="DIR", help="where to keep files"
    )
    return parser.parse_args()


def _interrupt(_: int, __: FrameType | None) -> None:
    raise _Interrupted


def _run(console: Console, programs: Programs, options: argparse.Namespace) -> int:
    ports = choose_ports()
    probe = _set_up(console, programs, ports, outside_broker=options.outage is not None)
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        demo = Demo(programs, ports, probe, live, History())
        console.print(f"The coordinator page: {demo.page}")
        if options.outage is None:
            ends = None if options.duration is None else time.monotonic() + options.duration
            demo.show("Measuring. Ctrl-C ends the demo.", _after(ends))
            return 0
        _outage(demo, options.outage)
    return _account(console, demo)


def _set_up(console: Console, programs: Programs, ports: Ports, *, outside_broker: bool) -> str:
    """Make and start server and probe as their users would; return the probe's id."""
    folder = programs.folder
    server, probe = folder / "server", folder / "probe"
    console.print(f"Making a server and its certificates in {server} …")
    run(
        *(*SERVER, "init", server, "--host", "localhost"),
        *("--mqtts-port", str(ports.mqtts)),
        *("--wss-port", str(ports.wss)),
        *("--web-port", str(ports.web)),
    )
    settings = (server / "server.toml").read_text()
    if outside_broker:
        # The broker runs by itself, so that it alone can go away.
        settings = settings.replace("external = false", "external = true")
    (server / "server.toml").write_text(settings.rstrip() + _CLOCK)
    if outside_broker:
        programs.start("broker", *SERVER, "broker", server)
    programs.start("server", *SERVER, "run", server)
    programs.wait_for("the server", lambda: get_json(f"http://127.0.0.1:{ports.web}/api/fleet"))
    console.print("Enrolling a probe with a one-time token …")
    token = folder / "token.toml"
    token.write_text(run(*SERVER, "enrol", server, "--label", "demo"))
    run(*AGENT, "enrol", token, "--state", probe)
    (folder / "agent.toml").write_text(_AGENT_CONFIG)
    console.print(run(*AGENT, "lines", "--state", probe, check=False), markup=False)
    programs.start("probe", *AGENT, "run", "--config", folder / "agent.toml", "--state", probe)
    programs.wait_for("the probe", (probe / "status.sock").exists)
    return str(json.loads(run(*AGENT, "status", "--state", probe, "--json"))["probe"])


def _after(ends: float | None) -> Callable[[object], bool]:
    return lambda _: ends is not None and time.monotonic() >= ends


def _outage(demo: Demo, outage_s: int) -> None:
    """Take the broker away and bring it back; then end the probe."""
    demo.show("Measuring, with the broker.", _after(time.monotonic() + BEFORE_S))
    demo.programs.kill("broker")
    ends = time.monotonic() + outage_s
    demo.show(f"The broker is gone for {outage_s} s; the probe measures on.", _after(ends))
    demo.programs.start("broker", *SERVER, "broker", demo.programs.folder / "server")
    ends = time.monotonic() + AFTER_MAX_S

    def caught_up(status: dict[str, Any] | None) -> bool:
        done = status is not None and status["uplink"]["connected"] and _is_synced(status)
        return done or time.monotonic() > ends

    demo.show("The broker is back; the probe hands over what it kept.", caught_up)
    demo.programs.stop("probe")


def _is_synced(status: dict[str, Any]) -> bool:
    return bool(status["store"]["backlog_sealed"] == 0 and any(status["store"]["acked"].values()))


def _account(console: Console, demo: Demo) -> int:
    """Compare what the probe committed with what the server's archive holds, opened anew."""
    folder = demo.programs.folder
    kept = json.loads(run(*AGENT, "status", "--state", folder / "probe", "--json", check=False))
    audit = json.loads(
        run(*SERVER, "audit", folder / "server", "--probe", demo.probe, "--json", check=False)
    )
    measured = sum(kept["store"]["committed"].values())
    missing = measured - audit["stored"]
    console.print()
    console.print(f"records measured                      {measured}")
    console.print(f"stored at the server exactly once     {audit['stored'] - audit['duplicates']}")
    console.print(f"stored more than once                 {audit['duplicates']}")
    console.print(f"missing                               {missing}")
    console.print()
    again = f".venv/bin/linewatch-server run {folder / 'server'}"
    console.print(f"To look at the pages again: {again}", markup=False, highlight=False)
    return 0 if missing == 0 and audit["duplicates"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
