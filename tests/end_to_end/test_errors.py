"""What people get wrong: each is one line that says what to do, and exit code 1."""

import socket
import subprocess
from pathlib import Path

import pytest

from linewatch_agent.lines import LineIds, explain, find_lines, machine_problems
from linewatch_agent.plan.config import Config
from tests.support.netns import NOBODY
from tests.support.world import AGENT, SERVER, World, world


def _fails(*command: str | Path) -> str:
    """Run a command that must fail with one line; return the line."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=60
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("level=")]
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[schedule]\nperiod_s = 0\n", "schedule.period_s"),
        ("[schedule]\nperoid_s = 30\n", "period_s"),
        ("[schedule\n", "line 1: not TOML: Expected"),
        ("[[target]]\nid = 'x'\nrole = 'friend'\nhost = 'h'\nchecks = ['icmp']\n", "role"),
        ("[targets]\nsets = ['nowhere']\n", "nowhere"),
    ],
)
def test_wrong_config_names_file_key_and_what_is_expected(
    tmp_path: Path, text: str, says: str
) -> None:
    """A wrong configuration: the file, where in it, and what is expected."""
    config = tmp_path / "agent.toml"
    config.write_text(text)
    line = _fails(*AGENT, "check-config", config)
    assert says in line
    assert "expected" in line.lower() or "did you mean" in line


def test_wrong_token_says_to_ask_for_another(tmp_path: Path) -> None:
    """A file that is no token: one line that says so."""
    token = tmp_path / "token.toml"
    token.write_text("hello = 1\n")
    assert "token" in _fails(*AGENT, "enrol", token, "--state", tmp_path / "state")


def test_agent_without_identity_says_how_to_enrol(tmp_path: Path) -> None:
    """`run` on a machine that is no probe: the command that makes it one."""
    assert "linewatch-agent enrol" in _fails(*AGENT, "run", "--state", tmp_path / "state")


def test_status_without_agent_says_how_to_start_one(tmp_path: Path) -> None:
    """`status` with no agent running: how to start one."""
    assert "linewatch-agent run" in _fails(*AGENT, "status", "--state", tmp_path)


def test_taken_port_is_named_with_its_key(tmp_path: Path) -> None:
    """`run` with the broker's port in use: the port and the key in server.toml."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        server = tmp_path / "server"
        made = [*SERVER, "init", server, "--host", "localhost", "--mqtts-port", port]
        subprocess.run([str(part) for part in made], check=True, capture_output=True)
        line = _fails(*SERVER, "run", server)
    assert port in line
    assert "mqtts_port" in line


def test_second_init_leaves_the_first_alone(tmp_path: Path) -> None:
    """`init` on a directory that has content: refused, and nothing in it changes."""
    (tmp_path / "mine").write_text("x")
    assert str(tmp_path) in _fails(*SERVER, "init", tmp_path, "--host", "localhost")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_no_permission_to_ping_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    """With ping_group_range closed, an unprivileged user is told the sysctl to set."""
    with world(tmp_path) as here:
        here.home.sysctl(net__ipv4__ping_group_range="1 0")
        words = here.home.call("tests.end_to_end.test_errors:lines_in_words", uid=NOBODY)
    assert "net.ipv4.ping_group_range" in words
    assert "sysctl" in words


async def lines_in_words() -> str:
    """Return what `linewatch-agent lines` prints; runs inside a namespace."""
    lines = find_lines(Config(), LineIds())
    return explain(lines, machine_problems(lines))


def test_full_disk_is_told_and_measuring_goes_on(tmp_path: Path) -> None:
    """On a full disk the agent says so in one line, keeps measuring, and recovers by itself."""
    with world(tmp_path) as here:
        here.set_up_server()
        here.start_server()
        disk = tmp_path / "probe"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], check=True)
        try:
            here.enrol()
            here.start_agent()
            here.until_synced()
            _fill(disk)
            here.until("the complaint", lambda: "no space left" in here.log("agent"))
            here.until("the same in status", lambda: "no space left" in _problem(here))
            status = here.status()
            assert status is not None
            rounds = status["round"]["rounds"]
            here.until(
                "more rounds", lambda: (here.status() or status)["round"]["rounds"] > rounds + 2
            )
            (disk / "filler").unlink()
            here.until("recovery", lambda: (here.status() or status)["store"]["problem"] is None)
            here.until_synced()
            assert here.stop("agent") == 0
        finally:
            here.stop_all()
            subprocess.run(["umount", disk], check=True)


def _problem(here: World) -> str:
    status = here.status()
    return "" if status is None else status["store"]["problem"] or ""


def _fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return


def test_start_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """An agent that can't even open its store says that there is no space, and what to do."""
    disk = tmp_path / "probe"
    disk.mkdir()
    with world(tmp_path) as here:
        here.set_up_server()
        here.start_server()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=True)
        try:
            here.enrol()
            _fill(disk)
            line = _fails(*AGENT, "run", "--state", disk)
        finally:
            subprocess.run(["umount", disk], check=True)
    assert "no space left" in line
    assert "free" in line
