"""`linewatch-agent self-test`: does this release work on this kind of computer?

Imports all of it, keeps and reads back records as a probe does (with keys made for the
purpose, in a folder that goes), and checks its own loopback. Needs no root, no identity
and no line; changes and sends nothing.
"""

import asyncio
import importlib
import pkgutil
import platform
import secrets
import sqlite3
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import linewatch_agent
import linewatch_core
from linewatch_agent.doctor.findings import Finding, note, ok, problem
from linewatch_core.records import Check, Sample

_PROGRAM = "__main__"
LOOPBACK, HERE = "lo", "127.0.0.1"
SAMPLES = 100
TIMEOUT_S = 10.0
BROKEN = "this release does not work on this computer: install another, and report this line"


def self_test() -> list[Finding]:
    """Return what works and what doesn't; every part is tried."""
    parts: dict[str, Callable[[], Finding]] = {
        "imports": _imports,
        "records": _records,
        "identity": _identity,
        "loopback": _loopback,
        "echo": _echo,
    }
    return [_machine(), *(_tried(name, part) for name, part in parts.items())]


def _tried(name: str, part: Callable[[], Finding]) -> Finding:
    try:
        return part()
    except Exception as error:
        return problem(name, f"{type(error).__name__}: {error}", BROKEN)


def _machine() -> Finding:
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return ok("machine", f"{platform.machine()}, {python}, {ssl.OPENSSL_VERSION}")


def module_names() -> Iterator[str]:
    """Yield the name of every module of ours but those that are programs."""
    for package in (linewatch_core, linewatch_agent):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith(_PROGRAM):
                yield found.name


def _imports() -> Finding:
    names = list(module_names())
    for name in names:
        importlib.import_module(name)
    # What is imported only where it is needed, and would be missed only then.
    for library in ("dbus_fast.aio", "cryptography.x509"):
        importlib.import_module(library)
    return ok("imports", f"{len(names)} modules, {len(sys.modules)} with their libraries")


def _records() -> Finding:
    """Commit samples, seal them, and open them as the server would."""
    from nacl.public import PrivateKey

    from linewatch_agent import clock
    from linewatch_agent.store.keys import SigningKeys
    from linewatch_agent.store.store import open_store
    from linewatch_agent.store.values import Owner, StoreLimits
    from linewatch_core.ids import EPOCH_RANDOM_BYTES, Epoch, ProbeId
    from linewatch_core.records import Stream
    from linewatch_core.segment.sealing import RecipientKey
    from linewatch_core.segment.segment import open_segment, parse_segment, verify_signature

    probe, boot, now_ms = ProbeId("a" * 16), clock.boot_id(), clock.mono_ms()
    server = PrivateKey.generate()
    written = _samples(now_ms)
    with tempfile.TemporaryDirectory(prefix="linewatch-self-test-") as folder:
        keys = SigningKeys.open(
            Path(folder),
            probe=probe,
            first_seed=lambda: secrets.token_bytes(32),
            boot=boot,
            now_ms=now_ms,
        )
        store = open_store(
            Path(folder),
            owner=Owner(probe, boot, (RecipientKey(bytes(server.public_key)),)),
            new_epoch=Epoch(secrets.token_hex(EPOCH_RANDOM_BYTES)),
            keys=keys,
            limits=StoreLimits(free_bytes_min=0),
            now_ms=now_ms,
        )
        store.commit(written, now_ms=now_ms + 1_000, safe_ms=now_ms + 1_000)
        store.stop(now_ms=now_ms + 1_000)
        loaded = store.load(Stream.RAW, 1)
        store.close()
    if loaded is None:
        return problem("records", "what was committed is not there", BROKEN)
    segment = parse_segment(loaded[1])
    verify_signature(segment, keys.current.public)
    read = [record.body for record in open_segment(segment, bytes(server))]
    if read != written:
        return problem("records", "what was read is not what was written", BROKEN)
    return ok("records", f"{len(read)} sealed, signed, stored, read back and opened")


def _samples(now_ms: int) -> list[Sample]:
    return [
        Sample(
            mono_ms=now_ms + number,
            slot_ms=now_ms,
            round_ms=now_ms,
            line="fixed-1",
            target=f"target-{number}",
            check=Check.TCP,
            family=4,
            rtt_us=10 * number,
        )
        for number in range(1, SAMPLES + 1)
    ]


def _identity() -> Finding:
    """Make a key and a certificate request, as an enrolment does, and read our own words."""
    from linewatch_agent.config_file import default_config_text
    from linewatch_agent.identity.probe_key import new_key_pem, request_pem
    from linewatch_agent.plan.config import load_config
    from linewatch_agent.plan_file import read_plan

    request = request_pem(new_key_pem())
    load_config(default_config_text(), name="the example")
    targets = len(read_plan(None).targets)
    return ok("identity", f"a key, a request of {len(request)} bytes, {targets} targets")


def _loopback() -> Finding:
    """Connect to ourselves the way a line is measured."""
    from linewatch_agent.checks.clocks import SYSTEM_CLOCK
    from linewatch_agent.checks.tcp import check_tcp

    async def connect() -> Finding:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            outcome = await check_tcp(
                LOOPBACK, HERE, 4, port=port, timeout_s=TIMEOUT_S, clock=SYSTEM_CLOCK
            )
        if outcome.failure is not None:
            return problem("loopback", f"a tcp check failed: {outcome.failure}", BROKEN)
        return ok("loopback", f"a tcp check took {outcome.rtt_us} µs")

    return asyncio.run(connect())


def _echo() -> Finding:
    """Ping ourselves; where the kernel forbids it, the doctor has the remedy."""
    from linewatch_agent.checks.clocks import SYSTEM_CLOCK
    from linewatch_agent.checks.icmp import Pinger

    async def ping() -> Finding:
        pinger = Pinger(LOOPBACK, 4, clock=SYSTEM_CLOCK)
        try:
            outcome = await pinger.ping(HERE, timeout_s=TIMEOUT_S)
        finally:
            pinger.close()
        if outcome.failure is not None:
            text = f"an icmp check failed: {outcome.failure}"
            return note("echo", text, "linewatch-agent doctor says whether it is forbidden here")
        return ok("echo", f"an icmp check took {outcome.rtt_us} µs")

    return asyncio.run(ping())
