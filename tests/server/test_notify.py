"""What the server tells systemd, over a real datagram."""

import socket
from pathlib import Path

import pytest

from linewatch_server.notify import notify


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One datagram to the socket that the environment names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", sock.getsockname())
        notify("READY=1")
        assert sock.recv(100) == b"READY=1"


def test_an_abstract_socket_is_named_by_an_at_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd in a container may name `@...`: the kernel wants a zero byte there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")  # the kernel chooses an abstract name
        name: bytes = sock.getsockname()
        sock.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:].decode())
        notify("READY=1")
        assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "somewhere", "/nowhere/notify"])
def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """In a terminal there is no socket; one that is gone does no harm."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
