"""What is sent to systemd's socket, over real datagrams."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewatch_agent.notify import STATUS_CHARS_MAX, Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket such as systemd listens on; nothing waits in it unless something was sent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(0)
        yield sock


def test_each_message_is_one_datagram(systemd: socket.socket) -> None:
    """The words are those of sd_notify(3), one assignment in each datagram."""
    notifier = Notifier(systemd.getsockname())
    notifier.ready()
    notifier.alive()
    notifier.status("measures 2 lines")
    notifier.stopping()
    told = [systemd.recv(500) for _ in range(4)]
    assert told == [b"READY=1", b"WATCHDOG=1", b"STATUS=measures 2 lines", b"STOPPING=1"]


def test_a_status_is_one_short_line(systemd: socket.socket) -> None:
    """A line break would begin another assignment: it becomes a space, and the end is cut off."""
    Notifier(systemd.getsockname()).status("all\nWATCHDOG=1\n" + "x" * 500)
    said = systemd.recv(1000)
    assert said.startswith(b"STATUS=all WATCHDOG=1 xxx")
    assert len(said) == len("STATUS=") + STATUS_CHARS_MAX


def test_an_abstract_socket_is_named_by_an_at_sign() -> None:
    """systemd in a container may name `@...`: the kernel wants a zero byte there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")  # the kernel chooses an abstract name
        name: bytes = sock.getsockname()
        sock.settimeout(0)
        Notifier("@" + name[1:].decode()).ready()
        assert sock.recv(100) == b"READY=1"


def test_nobody_is_told_outside_of_systemd() -> None:
    """Without a socket in the environment nothing is sent, and no watchdog waits."""
    notifier = Notifier.of_environment({"WATCHDOG_USEC": "1000000"}, pid=7)
    notifier.ready()
    assert notifier.watchdog_s is None


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": "7"}, 90.0),
        ({"WATCHDOG_USEC": "90000000"}, 90.0),
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_the_one_meant_for_this_process(
    environment: dict[str, str], watchdog_s: float | None
) -> None:
    """A child inherits the variables; WATCHDOG_PID says whose they are."""
    told = {"NOTIFY_SOCKET": "/run/systemd/notify", **environment}
    assert Notifier.of_environment(told, pid=7).watchdog_s == watchdog_s


def test_a_socket_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    """systemd that does not listen must not end the agent."""
    Notifier(str(tmp_path / "nowhere")).alive()
