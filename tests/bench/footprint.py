"""The agent's CPU and memory beside prometheus-blackbox-exporter's, in one run.

Both measure the same 50 targets over two lines: ICMP (every other target: TCP), DNS and
HTTP or HTTPS (or no page), each every 30 s and paced evenly. They run at once, so that
whatever else the machine does hits both. The agent does all that it does for its users: it
judges, stores, and sends to a real broker and server. All is in namespaces made here.
Exits 1 if a bar is missed. As root:

    apt-get install prometheus-blackbox-exporter
    python -m tests.bench.footprint [--page https|none] [--seconds 300] [--python PYTHON]

PYTHON is one with the agent alone installed (`pip install linewatch[agent]`), as on a probe;
by default this one, which holds more than a probe does.
"""

import argparse
import asyncio
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.far_sites import RESOLVER, SITES, name_of
from tests.support.netns import namespaces, wire
from tests.support.world import HOME4, ISP4, World

PERIOD_S = 30.0
WARM_UP_S = 75.0
"""Two rounds: what is imported, connected or compiled at its first use is so by then."""
CPU_SHARE_MAX = 0.5
RESIDENT_MB_MAX = 48.0
BLACKBOX = "prometheus-blackbox-exporter"
BLACKBOX_PORT = 9115
SECOND_HOME4, SECOND_ISP4 = "10.78.0.2", "10.78.0.1"
LINES = 2
NO_PAGE = "none"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far, and holds now. Seconds of CPU, MB of 10**6 bytes."""

    cpu_s: float
    rss_mb: float
    pss_mb: float
    anonymous_mb: float


def usage(pid: int) -> Usage:
    """Return what the kernel says of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {row.split(":")[0]: int(row.split()[1]) for row in rows}
    rss, pss, anonymous = (kib[key] * 1024 / 1e6 for key in ("Rss", "Pss", "Anonymous"))
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), rss, pss, anonymous)


def checks_of(page: str) -> int:
    """Return how many checks each target has."""
    return 2 if page == NO_PAGE else 3


def agent_config(page: str) -> str:
    """Return the agent's configuration: all targets, both lines, no limit on data."""
    lines = (("fixed-1", "eth0", ISP4), ("mobile-1", "eth1", SECOND_ISP4))
    text = "[targets]\nsets = []\nlocal = false\n[budget]\nmonth_mb = 1_000_000\n"
    text += '[uplink]\nbind = "any"\n[schedule]\nspread = 1.0\njitter_s = 0.0\n'
    for name, device, gateway in lines:
        text += f'[[line]]\nid = "{name}"\ndevice = "{device}"\nkind = "{name[:-2]}"\n'
        text += f'resolvers = ["{RESOLVER}"]\ngateway4 = "{gateway}"\n'
    for number, address in enumerate(SITES, 1):
        role = ("domestic", "international")[number // 2 % 2]
        first = ("icmp", "tcp")[number % 2]
        text += f'[[target]]\nid = "site-{number}"\nrole = "{role}"\nhost = "{address}"\n'
        checks = [first, "dns", "http"][: checks_of(page)]
        text += f'checks = {checks}\nquery = "{name_of(number)}"\nport = 80\nfamilies = [4]\n'
        if page != NO_PAGE:
            text += f'url = "{page}://{address}/"\n'
    return text


def blackbox_config(folder: Path) -> str:
    """Return the exporter's configuration, as JSON (which is YAML)."""
    ip4 = {"preferred_ip_protocol": "ip4", "ip_protocol_fallback": False}
    tls = {"ca_file": str(folder / "authority.pem")}
    modules: dict[str, object] = {
        "icmp": {"prober": "icmp", "icmp": ip4},
        "tcp": {"prober": "tcp", "tcp": ip4},
        "http": {"prober": "http", "http": ip4},
        "https": {"prober": "http", "http": ip4 | {"tls_config": tls}},
    }
    for number in range(1, len(SITES) + 1):
        dns = ip4 | {"query_name": name_of(number), "query_type": "A"}
        modules[f"dns-{number}"] = {"prober": "dns", "dns": dns}
    return json.dumps({"modules": modules})


def blackbox_probes(page: str) -> Iterator[tuple[str, str]]:
    """Yield what one line's round asks of the exporter: (module, target)."""
    for number, address in enumerate(SITES, 1):
        yield ("icmp", address) if number % 2 == 0 else ("tcp", f"{address}:80")
    for number in range(1, len(SITES) + 1):
        yield f"dns-{number}", RESOLVER
    for address in SITES if page != NO_PAGE else ():
        yield page, f"{page}://{address}/"


async def drive_blackbox(page: str) -> None:
    """Ask the exporter for each probe once a line and period, evenly paced, for ever."""
    probes = [probe for probe in blackbox_probes(page) for _ in range(LINES)]
    connection = http.client.HTTPConnection("127.0.0.1", BLACKBOX_PORT, timeout=10)
    began_s, number = time.monotonic(), 0
    while True:
        module, target = probes[number % len(probes)]
        query = urllib.parse.urlencode({"module": module, "target": target})
        connection.request("GET", f"/probe?{query}")
        answer = connection.getresponse().read()
        if b"\nprobe_success 1" not in answer:
            raise RuntimeError(f"cannot compare: the exporter failed at {module} {target}")
        number += 1
        due_s = began_s + number * PERIOD_S / len(probes)
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))


def measured(world: World) -> int:
    """Return how many checks the agent has made; all of them must have succeeded."""
    status = world.status()
    if status is None:
        raise RuntimeError(f"cannot compare: the agent does not answer:\n{world.log('agent')}")
    return int(status["store"]["measured"])


def start(world: World, page: str, python: str) -> dict[str, int]:
    """Start everything; return the process ids of the two that are compared."""
    world.isp.serve("tests.bench.far_sites:serve", str(world.folder))
    world.set_up_server()
    world.start_server()
    world.enrol(agent_config(page))
    trust = f"SSL_CERT_FILE={world.folder / 'authority.pem'}"
    run = ("-m", "linewatch_agent", "run", "--config", world.config, "--state", world.state)
    world.start("agent", "env", trust, python, *run)
    config = world.folder / "blackbox.json"
    config.write_text(blackbox_config(world.folder))
    address = f"--web.listen-address=127.0.0.1:{BLACKBOX_PORT}"
    world.start("blackbox", BLACKBOX, f"--config.file={config}", address, "--log.level=error")
    time.sleep(1)
    call = ("-m", "tests.support.netns", "tests.bench.footprint:drive_blackbox")
    world.start("driver", sys.executable, *call, json.dumps([page]))
    return {name: world.running[name].pid for name in ("agent", "blackbox")}


def compare(world: World, page: str, pids: dict[str, int], seconds: float) -> bool:
    """Measure both over the same time and print it; return whether the bars are met."""
    time.sleep(WARM_UP_S)
    before, began_s = {name: usage(pid) for name, pid in pids.items()}, time.monotonic()
    checks_before = measured(world)
    time.sleep(seconds)
    after, took_s = {name: usage(pid) for name, pid in pids.items()}, time.monotonic() - began_s
    if world.running["driver"].poll() is not None:
        raise RuntimeError(f"cannot compare: the driver ended:\n{world.log('driver')}")
    checks = measured(world) - checks_before
    expected = took_s / PERIOD_S * len(SITES) * checks_of(page) * LINES
    if abs(checks - expected) > 0.05 * expected:
        raise RuntimeError(f"cannot compare: {checks} checks instead of {expected:.0f}")
    cost = {name: (after[name].cpu_s - before[name].cpu_s) / expected * 1e6 for name in pids}
    print(f"{'':10}{'CPU, ms per 1,000 checks':>26}{'RSS, MB':>10}{'PSS':>7}{'anonymous':>11}")
    for name, now in after.items():
        print(
            f"{name:10}{cost[name]:26.0f}{now.rss_mb:10.1f}{now.pss_mb:7.1f}{now.anonymous_mb:11.1f}"
        )
    share, resident_mb = cost["agent"] / cost["blackbox"], after["agent"].rss_mb
    met = (share < CPU_SHARE_MAX, resident_mb <= RESIDENT_MB_MAX)
    said = ["met" if one else "MISSED" for one in met]
    print(f"CPU: {share:.2f} of the exporter's (bar: below {CPU_SHARE_MAX}): {said[0]}")
    print(f"resident: {resident_mb:.1f} MB (bar: {RESIDENT_MB_MAX:.0f} MB): {said[1]}")
    return all(met)


def main() -> int:
    """Run both side by side; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description="Compare the agent with blackbox_exporter.")
    parser.add_argument("--page", choices=("http", "https", NO_PAGE), default="http")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    if shutil.which(BLACKBOX) is None:
        raise SystemExit(f"cannot compare: no {BLACKBOX}; apt-get install {BLACKBOX}")
    with tempfile.TemporaryDirectory() as folder, namespaces("home", "far") as (home, far):
        wire((home, "eth0", (f"{HOME4}/24",)), (far, "far0", (f"{ISP4}/24",)))
        wire((home, "eth1", (f"{SECOND_HOME4}/24",)), (far, "far1", (f"{SECOND_ISP4}/24",)))
        home.run("ip", "route", "add", "default", "via", ISP4, "metric", "100")
        home.run("ip", "route", "add", "default", "via", SECOND_ISP4, "metric", "200")
        for address in (*SITES, RESOLVER):
            far.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        home.allow_ping()
        world = World(home, far, Path(folder))
        try:
            pids = start(world, options.page, options.python)
            return 0 if compare(world, options.page, pids, options.seconds) else 1
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"cannot compare: {error}") from error
        finally:
            world.stop_all()


if __name__ == "__main__":
    sys.exit(main())
