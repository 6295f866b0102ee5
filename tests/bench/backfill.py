"""How a backlog comes over a slow line: `python -m tests.bench.backfill` (as root).

A probe and a server in two namespaces, joined by the lab's relay: 64 kbit/s and 150 ms
each way. First three days of two lines (77,760 samples, their counts, 200 events), to
the end; then five days and a line that is there for four minutes only. All programs are
real: store, uplink, Mosquitto, server. Reads the results from the server's archive.
Exits 1 if a bar of docs/measurements.md is missed.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from linewatch_core.records import Stream
from linewatch_core.segment.segment import parse_segment
from linewatch_server.archive.reader import Archive
from linewatch_server.model.entries import EntryKind
from tests.lab.relay import LinkQuestion
from tests.lab.worker import Worker
from tests.support.netns import Netns, namespaces

PROBE, SERVER = "10.9.0.1", "10.9.0.2"
RATE_KBIT, DELAY_MS = 64.0, 150.0
RAW_A_DAY, ROLLS_A_DAY, EVENTS_A_DAY = 25_920, 5_184, 67
FIRST_EV_S, COMPLETE_S, LIVE_S = 10.0, 120.0, 60.0
WINDOW_S = 240.0


@dataclass(slots=True)
class Result:
    """What one run gave; seconds since CONNACK, counts of records."""

    first_ev_s: float
    complete_s: dict[str, float | None]
    stored: dict[str, int]
    backlog: dict[str, int]
    live_wait_s: list[float]
    bytes: int


@contextmanager
def line(probe: Netns, server: Netns) -> Iterator[Worker]:
    """Join two namespaces by the relay, unshaped at first."""
    ends = json.dumps({"line": [[probe.name, "tun0"], [server.name, "tun0"]]})
    relay = Worker("tests.lab.relay", "1", ends, netns=probe.name)
    relay.await_ready()
    try:
        for netns, address in ((probe, PROBE), (server, SERVER)):
            netns.run("ip", "address", "add", f"{address}/24", "dev", "tun0")
            netns.run("ip", "link", "set", "tun0", "up", "txqueuelen", "2000")
        shape(relay)
        yield relay
    finally:
        relay.stop()


def shape(relay: Worker, *, rate_kbit: float | None = None, delay_ms: float = 0) -> None:
    """Give the line a rate and a delay each way."""
    question = LinkQuestion("line", delay_ms=delay_ms, rate_kbit=rate_kbit)
    relay.ask(json.loads(msgspec.json.encode(question)))


def run_once(folder: Path, days: int, seconds: float) -> Result:
    """Fill a store with so many days, let the line be there for so long, read what arrived."""
    with ExitStack() as stack:
        probe, server = stack.enter_context(namespaces("probe", "server"))
        relay = stack.enter_context(line(probe, server))
        python = sys.executable
        where, state, out = folder / "server", folder / "probe", folder / "told.json"
        server.run(python, "-m", "linewatch_server", "init", str(where), "--host", SERVER)
        command = server.inside(python, "-m", "linewatch_server", "run", str(where))
        with (folder / "server.log").open("wb") as log:
            running = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(running.wait, 60)
        stack.callback(running.terminate)
        while "broker_joined" not in (folder / "server.log").read_text():
            assert running.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.2)
        token = folder / "token.toml"
        token.write_text(
            server.run(python, "-m", "linewatch_server", "enrol", str(where), "--label", "bench")
        )
        agent = (python, "-m", "linewatch_agent", "enrol", str(token), "--state", str(state))
        probe.run(*agent)
        counts = (days * RAW_A_DAY, days * ROLLS_A_DAY, days * EVENTS_A_DAY)
        filled = probe.call("tests.bench.backlog:fill", str(state), *counts, timeout_s=900)
        print(f"store: {days} days, {filled['segments']} segments, {filled['bytes']} bytes")
        shape(relay, rate_kbit=RATE_KBIT, delay_ms=DELAY_MS)
        endpoint = f"mqtts://{SERVER}:8883"
        args = (str(state), endpoint, seconds, str(out))
        probe.call("tests.bench.backlog:upload", *args, timeout_s=seconds + 120)
        time.sleep(3)
    return read(where, json.loads(out.read_text()))


def read(directory: Path, told: dict[str, object]) -> Result:
    """Return what the archive has of the backlog and of the live segments, and since when."""
    connacks, sealed, backlog = told["connacks_ms"], told["sealed_ms"], told["backlog"]
    assert isinstance(connacks, list)
    assert isinstance(sealed, dict)
    assert isinstance(backlog, dict)
    began_ms: int = connacks[0]
    stored = dict.fromkeys(backlog, 0)
    last_ms: dict[str, int] = {}
    first_ev_ms, total, live = None, 0, dict(sealed)
    waits: list[float] = []
    for _, entry in Archive(directory).entries():
        if entry.kind is not EntryKind.SEGMENT:
            continue
        header = parse_segment(entry.payload).header
        name = header.stream.value
        total += len(entry.payload)
        if header.stream is Stream.EV and first_ev_ms is None:
            first_ev_ms = entry.arrival_ms
        if header.last_seq <= backlog[name]:
            stored[name] += header.last_seq - header.first_seq + 1
            last_ms[name] = max(last_ms.get(name, 0), entry.arrival_ms)
        elif header.stream is Stream.RAW:
            since = live.pop(str(header.first_seq))
            waits.append((entry.arrival_ms - max(since, began_ms)) / 1000)
    ended = told["ended_ms"]
    assert isinstance(ended, int)
    waits += [(ended - max(since, began_ms)) / 1000 for since in live.values()]
    return Result(
        first_ev_s=(first_ev_ms - began_ms) / 1000 if first_ev_ms else float("inf"),
        complete_s={
            name: (last_ms[name] - began_ms) / 1000 if stored[name] == last else None
            for name, last in backlog.items()
        },
        stored=stored,
        backlog=backlog,
        live_wait_s=waits,
        bytes=total,
    )


def show(result: Result) -> None:
    """Print one run."""
    print(f"  first events after {result.first_ev_s:.1f} s of CONNACK; {result.bytes} bytes stored")
    for name, last in result.backlog.items():
        done = result.complete_s[name]
        when = "not complete" if done is None else f"complete after {done:.1f} s"
        print(f"  {name:4} {result.stored[name]:7} of {last:7} records, {when}")
    waits = ", ".join(f"{wait:.1f}" for wait in result.live_wait_s)
    print(f"  live segments waited (s): {waits or 'none was sealed'}", flush=True)


def main() -> int:
    """Run both; return 0 if every bar is held."""
    with tempfile.TemporaryDirectory(prefix="linewatch-bench-") as folder:
        (Path(folder) / "a").mkdir()
        (Path(folder) / "b").mkdir()
        print(f"{RATE_KBIT:.0f} kbit/s, {2 * DELAY_MS:.0f} ms; three days, to the end:")
        whole = run_once(Path(folder) / "a", 3, 300.0)
        show(whole)
        print(f"five days, a line for {WINDOW_S:.0f} s:")
        short = run_once(Path(folder) / "b", 5, WINDOW_S)
        show(short)
    times = list(whole.complete_s.values())
    held = (
        max(whole.first_ev_s, short.first_ev_s) <= FIRST_EV_S
        and all(done is not None and done <= COMPLETE_S for done in times)
        and max([*whole.live_wait_s, *short.live_wait_s], default=0.0) <= LIVE_S
        and short.complete_s["ev"] is not None
        and short.complete_s["roll"] is not None
    )
    print("every bar is held" if held else "a bar is MISSED")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
