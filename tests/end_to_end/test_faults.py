"""Faults of real parts: agent, Mosquitto and server killed, wiped, put back, cut off.

After each, an account by records: every number that the probe gave out is stored, once.
"""

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from linewatch_core.ids import ProbeId
from linewatch_core.records import GapReason, Stream
from tests.support.account import account, assert_whole
from tests.support.damage import DAMAGES
from tests.support.world import CONFIG, ISP4, READY_S, SERVER, World, world

KILLED = -9
SYNC_S = 240.0
KILLED_AT = (sys.executable, "-m", "tests.support.killed_at")
SERVER_POINTS = [
    ("before linewatch_server.archive.writer:ArchiveWriter.sync", "1"),
    ("after linewatch_server.archive.writer:ArchiveWriter.sync", "1"),
    ("after linewatch_server.index.writer:Index.apply", "2"),
    ("before linewatch_server.collector:Collector._say", "2"),
]
"""Written; synced; in the index, too (the first time is the start's); nothing said yet."""
COPY_AGE_S = float(os.environ.get("LINEWATCH_COPY_AGE_S", "30"))
"""How old the copy is that a server is put back to; 3600 is what an hourly backup comes to."""
BRISK = CONFIG.replace("commit_s = 5.0", "commit_s = 1.0")
AGENT_POINTS = [
    "before linewatch_agent.store.store:Store.commit_and_close",
    "after linewatch_agent.store.store:Store.commit_and_close",
    "before linewatch_agent.store.journal:Journal._close",
    "after linewatch_agent.store.journal:Journal._close",
    "before linewatch_agent.store.store:Store.save_ack",
    "after linewatch_agent.store.store:Store.save_ack",
    "after linewatch_agent.store.kept:Kept.next_conn",
]


@contextmanager
def running(folder: Path) -> Iterator[tuple[World, ProbeId]]:
    """A world in which all programs run, the broker on its own, and a first sync is done."""
    with world(folder) as here:
        here.isp.serve("tests.support.world:serve_ledger", ISP4, [9000, 9001], "/dev/null")
        here.set_up_server(external_broker=True)
        start_broker(here)
        here.start_server()
        probe = ProbeId(here.enrol(BRISK))
        here.start_agent()
        here.until_synced()
        yield here, probe


def start_broker(here: World) -> None:
    """Start Mosquitto and its keeper."""
    here.start("broker", *SERVER, "broker", here.server)


def finish(here: World, probe: ProbeId) -> None:
    """Let all be handed over, stop, and hold the account."""
    here.until_synced(patience_s=SYNC_S)
    assert here.stop("agent") == 0
    here.stop("server")
    assert_whole(account(here, probe))


def until_killed(here: World, name: str, *, patience_s: float = READY_S) -> None:
    """Wait until a program has killed itself."""
    process = here.running.pop(name)
    try:
        assert process.wait(patience_s) == KILLED, here.log(name)[-3000:]
    finally:
        process.kill()


@pytest.mark.timeout(900)
def test_server_killed_between_archive_index_and_ack(tmp_path: Path) -> None:
    """Killed at each named point of taking a batch: what was stored is not stored again."""
    with running(tmp_path) as (here, probe):
        here.kill("server")
        for point, count in SERVER_POINTS:
            here.start("server", *KILLED_AT, point, count, "linewatch_server", "run", here.server)
            until_killed(here, "server")
        here.start_server()
        finish(here, probe)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_agent_killed_at_each_point_of_a_commit_and_of_sealing(tmp_path: Path) -> None:
    """Killed around a commit, sealing and an ack: whole, and one gap `killed` for each."""
    with running(tmp_path) as (here, probe):
        here.kill("agent")
        run = ("linewatch_agent", "run", "--config", here.config, "--state", here.state)
        for point in AGENT_POINTS:
            for count in ("1",) if point.endswith("next_conn") else ("1", "3"):
                here.start("agent", *KILLED_AT, point, count, *run)
                until_killed(here, "agent", patience_s=120)
        here.start_agent()
        here.until("the agent", lambda: here.status() is not None)
        finish(here, probe)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_everything_killed_at_random(tmp_path: Path) -> None:
    """Agent, broker and server killed at random moments, 30 times: nothing missing or twice."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    with running(tmp_path) as (here, probe):
        for _ in range(30):
            time.sleep(draw.uniform(0, 6))
            match draw.choice(["agent", "broker", "server"]):
                case "agent":
                    here.kill("agent")
                    here.start_agent()
                case "broker":
                    here.kill_broker()
                    time.sleep(draw.uniform(0, 3))
                    start_broker(here)
                case _:
                    here.kill("server")
                    time.sleep(draw.uniform(0, 3))
                    here.start("server", *SERVER, "run", here.server)
        here.until("the last start", lambda: here.status() is not None)
        finish(here, probe)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_any_damaged_store_never_stops_the_agent(tmp_path: Path) -> None:
    """Each kind of damage on the agent's own store: it starts, measures, hands over, and says so.

    The unit starts an agent again that ends; so do we, once.
    """
    with running(tmp_path) as (here, probe):
        for name, damage in DAMAGES.items():
            here.kill("agent")
            damage(here.state / "store.sqlite")
            here.start_agent()
            _until_measuring(here, name)
            # Else the next damage takes the word of this one with it.
            here.until(f"the word of {name}", lambda: _events_are_acked(here))
        assert here.stop("agent") == 0
        here.stop("server")
        found = account(here, probe)
    assert found.duplicates == found.unverified == 0
    reasons = Counter(gap.reason for gap in found.gaps)
    kept = list(here.state.glob("store.sqlite.damaged-*[0-9]"))
    assert reasons[GapReason.STORE_DAMAGED] >= len(kept) >= len(DAMAGES) // 2
    # A WAL that rots takes commits back, and with them, perhaps, the word of it: what is told
    # under numbers that the server has already is not believed there (docs/failure-model.md).
    assert sum(reasons.values()) >= sum("wal" not in name for name in DAMAGES)
    assert len({stream.epoch for stream in found.streams}) == len(kept) + 1


def _until_measuring(here: World, what: str) -> None:
    """Wait for rounds of the agent, and start it again if it ended; a second end is a failure."""
    ends = 0

    def measuring() -> bool:
        nonlocal ends
        if here.running["agent"].poll() is not None:
            ends += 1
            assert ends == 1, f"{what}: it ended twice:\n{here.log('agent')[-3000:]}"
            here.start_agent()
        status = here.status()
        return (
            status is not None
            and status["round"]["rounds"] >= 2
            and status["store"]["committed"]["raw"] > 0
            and status["store"]["problem"] is None
        )

    deadline = time.monotonic() + READY_S
    while not measuring():
        assert time.monotonic() < deadline, f"{what}: no round:\n{here.log('agent')[-3000:]}"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_broker_s_memory_wiped_in_the_middle_of_a_backfill(tmp_path: Path) -> None:
    """Mosquitto killed and its persistence gone while a backlog is on its way: all is stored."""
    with backlogged(tmp_path, raw=100_000) as (here, probe):
        here.start_server()
        here.start_agent()
        left = []
        for at in (100_000, 250_000, 400_000):
            while _archived(here) < at:
                time.sleep(0.02)
            here.kill_broker()
            here.wipe_broker()
            left.append(_backlog(here))
            start_broker(here)
        assert left[0] > 10_000, "the backfill was over before the broker was killed"
        finish(here, probe)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_collector_away_for_three_thousand_messages(tmp_path: Path) -> None:
    """A broker that takes everything and nobody behind it: nothing is freed, all comes later."""
    with backlogged(tmp_path, raw=60_000, block_records=20) as (here, probe):
        here.start_agent()
        here.until("a connection", lambda: _is_connected(here))
        time.sleep(20)
        assert _backlog(here) >= 60_000
        here.start_server()
        here.until_synced(patience_s=SYNC_S)
        assert here.stop("agent") == 0
        here.stop("server")
        found = account(here, probe)
        assert_whole(found)
        assert sum(s.stored for s in found.streams if s.stream is Stream.RAW) >= 60_000


@pytest.mark.slow
@pytest.mark.timeout(600 + COPY_AGE_S)
def test_server_put_back_to_an_older_copy_is_filled_again(tmp_path: Path) -> None:
    """Archive and index of LINEWATCH_COPY_AGE_S ago (30): what came since is sent again, unasked.

    With -s it prints how much came again, and in what time.
    """
    with running(tmp_path) as (here, probe):
        here.stop("server")
        copy = tmp_path / "copy"
        _copy_server(here.server, copy)
        here.start_server()
        time.sleep(COPY_AGE_S)
        here.until_synced()
        here.stop("server")
        before, archived = account(here, probe), _archived(here)
        _copy_server(copy, here.server)
        older = account(here, probe)
        assert older.stored < before.stored
        started = time.monotonic()
        here.start_server()
        here.until("what came since", lambda: _archived(here) >= archived, patience_s=SYNC_S)
        took_s = time.monotonic() - started
        here.until_synced(patience_s=SYNC_S)
        assert here.stop("agent") == 0
        here.stop("server")
        after = account(here, probe)
        assert_whole(after)
        assert after.stored > before.stored
        print(f"{before.stored - older.stored} records came again in {took_s:.1f} s")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_disk_that_turns_read_only_under_the_agent(tmp_path: Path) -> None:
    """ext4 after an error: it measures on, says so, still hands over, and loses what it tells."""
    image, state = tmp_path / "card", tmp_path / "probe"
    state.mkdir()
    _run("truncate", "-s", "160M", image)
    _run("mkfs.ext4", "-q", image)
    _run("mount", "-o", "loop,errors=remount-ro", image, state)
    try:
        with running(tmp_path) as (here, probe):
            device = _run("findmnt", "-n", "-o", "SOURCE", state).strip().removeprefix("/dev/")
            Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")
            here.until("the complaint", lambda: _problem(here) is not None)
            rounds = _rounds(here)
            here.until("more rounds", lambda: _rounds(here) > rounds + 5)
            assert _is_connected(here)
            here.kill("agent")
            # Other programs keep the broken one in their mount namespaces: another card.
            other = shutil.ignore_patterns("lost+found", "*.sock")
            shutil.copytree(state, tmp_path / "copy", ignore=other)
            _run("mount", "--bind", tmp_path / "copy", state)
            here.start_agent()
            _until_measuring(here, "another card")
            here.until_synced()
            assert here.stop("agent") == 0
            here.stop("server")
            found = account(here, probe)
    finally:
        while subprocess.run(["umount", "-l", state], check=False).returncode == 0:
            pass
    assert_whole(found)
    assert GapReason.KILLED in {gap.reason for gap in found.gaps}


@contextmanager
def backlogged(
    folder: Path, *, raw: int, block_records: int = 200
) -> Iterator[tuple[World, ProbeId]]:
    """A world with a broker and an enrolled probe that holds a backlog of an earlier boot."""
    with world(folder) as here:
        here.isp.serve("tests.support.world:serve_ledger", ISP4, [9000, 9001], "/dev/null")
        here.set_up_server(external_broker=True)
        start_broker(here)
        here.start_server()
        probe = ProbeId(here.enrol())
        here.stop("server")
        fill = ("tests.bench.backlog:fill", str(here.state), raw, 0, 50, block_records)
        here.home.call(*fill, timeout_s=300)
        yield here, probe


def _copy_server(source: Path, target: Path) -> None:
    """Put all that a server keeps of one directory into another; not its broker's files."""
    for part in source.iterdir():
        if part.name == "broker":
            continue
        if part.is_dir():
            shutil.rmtree(target / part.name, ignore_errors=True)
            shutil.copytree(part, target / part.name)
        else:
            target.mkdir(exist_ok=True)
            shutil.copy2(part, target / part.name)


def _archived(here: World) -> int:
    return sum(path.stat().st_size for path in (here.server / "archive").glob("*"))


def _backlog(here: World) -> int:
    status = here.status()
    assert status is not None
    return int(status["store"]["backlog"])


def _events_are_acked(here: World) -> bool:
    status = here.status()
    if status is None:
        return False
    store = status["store"]
    return 0 < int(store["committed"]["ev"]) <= int(store["acked"]["ev"])


def _is_connected(here: World) -> bool:
    status = here.status()
    return status is not None and bool(status["uplink"]["connected"])


def _problem(here: World) -> str | None:
    status = here.status()
    return None if status is None else status["store"]["problem"]


def _rounds(here: World) -> int:
    status = here.status()
    return 0 if status is None else int(status["round"]["rounds"])


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{command} failed: {done.stderr}"
    return done.stdout
