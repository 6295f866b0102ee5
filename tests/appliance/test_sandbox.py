"""The agent unit's sandbox, tried from within: what it needs goes, what it must not is refused."""

import json

from tests.appliance.layers import Layer
from tests.appliance.machine import booted

AGENT = "linewatch-agent.service"
TRIES = '''
import ctypes, json, os, pathlib, socket, subprocess

def name_of(call):
    """Return how a call ended: "done", or the name of the error."""
    try:
        call()
    except OSError as error:
        return os.strerror(error.errno)
    return "done"

def adjtimex(modes):
    timex = (ctypes.c_int * 64)(modes)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(timex) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")

def bind_to_device():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")

def ask_the_bus():
    name = "org.freedesktop.systemd1"
    path = "/" + name.replace(".", "/")
    asked = ["busctl", "--system", "get-property", name, path, name + ".Manager", "Version"]
    subprocess.run(asked, check=True)

ADJ_OFFSET = 1
tries = {
    "reads the kernel's clock": lambda: adjtimex(0),
    "sets it": lambda: adjtimex(ADJ_OFFSET),
    "binds ICMP to a device": bind_to_device,
    "asks the system bus": ask_the_bus,
    "reads a sysctl": lambda: open("/proc/sys/net/ipv4/conf/all/rp_filter").read(),
    "writes its state": lambda: open("/var/lib/linewatch/tried", "w").close(),
    "writes its configuration": lambda: open("/etc/linewatch/linewatch.toml", "w").close(),
    "writes its own code": lambda: open("/opt/linewatch/current/VERSION", "w").close(),
    "writes a sysctl": lambda: open("/proc/sys/net/ipv4/ip_forward", "w").write("1"),
    "opens a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "opens a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
    "sees other users' processes": lambda: os.stat("/proc/1"),
    "opens a disk or the console": lambda: open("/dev/console").close(),
    "makes a namespace": lambda: os.unshare(os.CLONE_NEWUSER),
    "becomes root": lambda: os.setuid(0),
    "reboots": lambda: subprocess.run(["systemctl", "reboot"], check=True),
}
said = {}
for what, call in tries.items():
    try:
        said[what] = name_of(call)
    except subprocess.CalledProcessError:
        said[what] = "refused"
pathlib.Path("/var/lib/linewatch/said.json").write_text(json.dumps(said))
'''
EXPECTED = {
    "reads the kernel's clock": "done",
    "sets it": "Operation not permitted",
    "binds ICMP to a device": "done",
    "asks the system bus": "done",
    "reads a sysctl": "done",
    "writes its state": "done",
    "writes its configuration": "Read-only file system",
    "writes its own code": "Read-only file system",
    "writes a sysctl": "Read-only file system",
    "opens a packet socket": "Address family not supported by protocol",
    "opens a raw socket": "Operation not permitted",
    "sees other users' processes": "No such file or directory",
    "opens a disk or the console": "No such file or directory",
    "makes a namespace": "Operation not permitted",
    "becomes root": "Operation not permitted",
    "reboots": "refused",
}


def test_the_sandbox_lets_through_what_the_agent_needs_and_no_more(probe: Layer) -> None:
    """Each thing is tried by a program in the agent's place, with all the unit's settings."""
    probe.put("/srv/tries.py", TRIES)
    drop_in = "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\n"
    drop_in += "ExecStart=\nExecStart=/usr/bin/python3 /srv/tries.py\n"
    probe.put(f"/etc/systemd/system/{AGENT}.d/test.conf", drop_in)
    said = probe.path / "var/lib/linewatch/said.json"
    with booted(probe) as machine:
        machine.wait_until(said.exists, "nothing was tried")
        assert json.loads(said.read_text()) == EXPECTED, machine.journal(AGENT)
        assert machine.show(AGENT, "Result")["Result"] == "success"
