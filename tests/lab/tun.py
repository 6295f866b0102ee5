"""Sockets and TUN devices in other network namespaces, from one process.

The kernel ties a socket or a TUN to the namespace its thread is in when it is
made; it stays usable after the thread has gone back. Needs CAP_SYS_ADMIN.
Source: setns(2); Documentation/networking/tuntap.rst.
"""

import ctypes
import fcntl
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1


@contextmanager
def in_netns(name: str) -> Iterator[None]:
    """Be in a named network namespace for a while (this thread only)."""
    with open("/proc/thread-self/ns/net", "rb") as here, open(f"/run/netns/{name}", "rb") as there:
        _set_netns(there.fileno(), name)
        try:
            yield
        finally:
            _set_netns(here.fileno(), "where we came from")


def open_tun(netns: str, device: str) -> int:
    """Make a TUN device (layer 3, no header) in a namespace; return its descriptor.

    It goes away with the descriptor.
    """
    with in_netns(netns):
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            request = struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI)
            fcntl.ioctl(tun, _TUNSETIFF, request)
        except BaseException:
            os.close(tun)
            raise
    return tun


def die_with_parent() -> None:
    """Be killed when the process that started this one ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        raise SystemExit("the process that started this one has ended")


def _set_netns(descriptor: int, name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot enter network namespace {name}: {os.strerror(error)}")


def go_first() -> None:
    """Let this process go before ordinary ones, as it stands for wires, or for a whole machine.

    A busy machine would else be a slow country. Where that is not allowed, it goes on without.
    """
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


@contextmanager
def going_first() -> Iterator[None]:
    """Go first for a while, with every process that is started meanwhile."""
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    go_first()
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, param)
