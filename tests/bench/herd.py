"""A thousand probes come back at once: `python -m tests.bench.herd [--probes N] [--spread S]`.

Real uplinks and machines in two processes, one real server and Mosquitto, over TLS on
loopback. First all probes are started at once, each with a backlog of three days
scaled down (`--scale`); then the broker is killed under all of them. Prints connections
a second, the server's rate, processor and memory, and whether anything was lost or
stored twice. Exits 1 if more than 20 connections came in any second, or a record is missing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import psutil

from linewatch_core.ids import ProbeId, probe_id_from_random
from linewatch_core.intervals import SeqSet
from linewatch_core.segment.segment import parse_segment
from linewatch_server.archive.reader import Archive
from linewatch_server.broker.files import broker_pid, load_authority
from linewatch_server.fleet.keys import read_ack_public_key, read_recipients
from linewatch_server.fleet.registry import Registry, TokenEntry
from linewatch_server.model.entries import EntryKind
from linewatch_server.settings import Layout
from tests.support.broker import HOST, init_server
from tests.support.segments import derived_bytes, signing_key

RAW, ROLL, EV = 77_760, 15_552, 200
PROCESSES = 2
PEAK_MAX = 20
LOOK_S = 5.0
PATIENCE_S = 4 * 3600


def enrol_all(layout: Layout, count: int, folder: Path) -> list[tuple[ProbeId, str]]:
    """Register probes with certificates, without asking each one; return ids and labels."""
    authority, registry, now = load_authority(layout), Registry(layout.registry), datetime.now(UTC)
    made = []
    for number in range(count):
        label = f"herd {number}"
        probe = probe_id_from_random(derived_bytes(f"probe {label}", 10))
        token = "t-" + probe
        pair = authority.issue_client(probe)
        entry = TokenEntry(token, probe, b"", number, now + timedelta(days=1), None)
        registry.add_token(entry, label=label, now=now)
        registry.complete(
            token,
            certificate=pair.certificate_pem.decode(),
            serial=number,
            key_der=probe.encode(),
            signing_key=signing_key(label).public,
            now=now,
        )
        (folder / f"{probe}.crt").write_bytes(pair.certificate_pem)
        (folder / f"{probe}.key").write_bytes(pair.key_pem)
        made.append((probe, label))
    return made


class Herd:
    """The processes with the probes."""

    def __init__(self, plans: list[Path]) -> None:
        command = (sys.executable, "-m", "tests.bench.herd_probes")
        self._children = [
            subprocess.Popen(
                [*command, str(plan)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=plan.with_suffix(".log").open("wb"),
                text=True,
            )
            for plan in plans
        ]
        self.first = [self._line(child) for child in self._children]

    def begin(self) -> None:
        """Let all probes start at this moment."""
        for child in self._children:
            self._say(child)

    def look(self) -> dict[str, Any]:
        """Return the figures of all processes together."""
        for child in self._children:
            self._say(child)
        told = [self._line(child) for child in self._children]
        return {
            "connacks": sorted(at for one in told for at in one["connacks"]),
            **{name: sum(one[name] for one in told) for name in ("connected", "done", "rss_mb")},
        }

    def stop(self) -> None:
        """End the processes."""
        for child in self._children:
            assert child.stdin is not None
            child.stdin.close()
            child.wait(60)

    @staticmethod
    def _say(child: "subprocess.Popen[str]") -> None:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()

    @staticmethod
    def _line(child: "subprocess.Popen[str]") -> dict[str, Any]:
        output: IO[str] | None = child.stdout
        assert output is not None
        line = output.readline()
        if not line:
            raise RuntimeError(f"a process of probes ended with {child.wait()}")
        told: dict[str, Any] = json.loads(line)
        return told


def peak(moments: list[float]) -> tuple[int, float]:
    """Return the most connections in any whole second, and over how long they came."""
    seconds = Counter(int(at) for at in moments)
    return max(seconds.values(), default=0), (moments[-1] - moments[0]) if moments else 0.0


def check_archive(directory: Path, probes: int, expected: dict[str, int]) -> tuple[int, int, int]:
    """Return records missing, records stored twice, and segments."""
    held: dict[tuple[str, str], SeqSet] = {}
    twice = segments = 0
    for _, entry in Archive(directory).entries():
        if entry.kind is EntryKind.SEGMENT:
            header = parse_segment(entry.payload).header
            stream = held.setdefault((header.probe, header.stream.value), SeqSet())
            overlap = stream.overlaps(header.first_seq, header.last_seq)
            twice += overlap * (header.last_seq - header.first_seq + 1)
            stream.add(header.first_seq, header.last_seq)
            segments += 1
    stored = Counter[str]()
    for (_, name), numbers in held.items():
        stored[name] += numbers.count()
    missing = sum(count * probes - stored[name] for name, count in expected.items())
    return missing, twice, segments


def main() -> int:
    """Run the bench; return 0 if the bars are held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--spread", type=int, default=300, help="seconds that the server sets")
    parser.add_argument("--scale", type=int, default=40, help="a backlog of 3 days / SCALE")
    arguments = parser.parse_args()
    expected = {
        "raw": RAW // arguments.scale,
        "roll": ROLL // arguments.scale,
        "ev": EV // min(10, arguments.scale),
    }
    with tempfile.TemporaryDirectory(prefix="linewatch-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        layout = init_server(folder / "server")
        text = layout.settings.read_text().replace(
            "# spread_s = 300", f"spread_s = {arguments.spread}"
        )
        layout.settings.write_text(text)
        probes = enrol_all(layout, arguments.probes, folder)
        plans = _plans(layout, folder, probes, arguments.spread, expected)
        herd = Herd(plans)
        stack.callback(herd.stop)
        log = (folder / "server.log").open("wb")
        command = (sys.executable, "-m", "linewatch_server", "run", str(layout.directory))
        server = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(server.wait, 60)
        stack.callback(server.terminate)
        while b"broker_joined" not in (folder / "server.log").read_bytes():
            assert server.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.2)
        total = sum(expected.values()) * arguments.probes
        print(
            f"{arguments.probes} probes, spread {arguments.spread} s; a backlog of {expected} "
            f"records ({herd.first[0]['backlog_bytes_a_probe']} bytes) each, {total} in all"
        )
        held = _start(herd, server, layout, arguments, total)
        held &= _restart(herd, layout, arguments)
        time.sleep(5)
        missing, twice, segments = check_archive(layout.directory, arguments.probes, expected)
        dropped = (folder / "server.log").read_text().count("queue is full")
        print(f"{segments} segments stored; records missing {missing}, stored twice {twice}")
        print(f"messages that the server had no room for (sent again later): {dropped}")
        held &= missing == 0 and twice == 0
    print("every bar is held" if held else "a bar is MISSED")
    return 0 if held else 1


def _plans(
    layout: Layout,
    folder: Path,
    probes: list[tuple[ProbeId, str]],
    spread_s: int,
    counts: dict[str, int],
) -> list[Path]:
    endpoint = next(
        line.split('"')[1]
        for line in layout.settings.read_text().splitlines()
        if "mqtts://" in line
    )
    assert HOST in endpoint
    common = {
        "authority": layout.authority_certificate.read_text(),
        "ack_key": read_ack_public_key(layout).hex(),
        "recipient": read_recipients(layout)[0].hex(),
        "endpoint": endpoint,
        "folder": str(folder),
        "spread_s": spread_s,
        **counts,
    }
    paths = []
    for number in range(PROCESSES):
        path = folder / f"plan-{number}.json"
        path.write_text(json.dumps(common | {"probes": probes[number::PROCESSES]}))
        paths.append(path)
    return paths


def _start(
    herd: Herd,
    server: "subprocess.Popen[bytes]",
    layout: Layout,
    arguments: argparse.Namespace,
    total: int,
) -> bool:
    """Start all probes at once; watch until the server has everything."""
    watched = psutil.Process(server.pid)
    pid = broker_pid(layout)
    assert pid is not None
    broker = psutil.Process(pid)
    before = [sum(one.cpu_times()[:2]) for one in (watched, broker)]
    began_s, memory = time.time(), [0.0, 0.0]
    herd.begin()
    while True:
        time.sleep(LOOK_S)
        seen = herd.look()
        for at, one in enumerate((watched, broker)):
            memory[at] = max(memory[at], one.memory_info().rss / 1e6)
        if seen["done"] == arguments.probes:
            break
        assert time.time() - began_s < PATIENCE_S, f"not done: {seen['done']} of {arguments.probes}"
    took_s = time.time() - began_s
    used = [
        sum(one.cpu_times()[:2]) - was for one, was in zip((watched, broker), before, strict=True)
    ]
    most, span_s = peak(seen["connacks"])
    print(f"start: {len(seen['connacks'])} connections in {span_s:.0f} s, at most {most} a second")
    print(f"  all acked after {took_s:.0f} s: {total / took_s:.0f} records/s")
    print(f"  server: {used[0]:.0f} s of CPU, {memory[0]:.0f} MB; ", end="")
    print(f"broker: {used[1]:.0f} s, {memory[1]:.0f} MB; probes: {seen['rss_mb']} MB", flush=True)
    return most <= PEAK_MAX


def _restart(herd: Herd, layout: Layout, arguments: argparse.Namespace) -> bool:
    """Kill the broker under all probes; watch until they are back."""
    # Every session must have lasted a minute: what is cut sooner is no good session.
    time.sleep(65)
    seen = herd.look()
    known, pid = len(seen["connacks"]), broker_pid(layout)
    assert pid is not None
    psutil.Process(pid).kill()
    began_s = time.time()
    while True:
        time.sleep(LOOK_S)
        seen = herd.look()
        if seen["connected"] == arguments.probes and len(seen["connacks"]) > known:
            break
        assert time.time() - began_s < PATIENCE_S, f"not back: {seen['connected']}"
    again = seen["connacks"][known:]
    most, _ = peak(again)
    print(
        f"broker killed: {len(again)} connections, the last {again[-1] - began_s:.0f} s after it, "
        f"at most {most} a second",
        flush=True,
    )
    return most <= PEAK_MAX


if __name__ == "__main__":
    sys.exit(main())
