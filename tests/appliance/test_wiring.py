"""What surrounds the agent on a probe, booted: kernel settings, polkit, first boot, the server."""

import textwrap

from tests.appliance.layers import Layer, layer
from tests.appliance.machine import booted, in_layer
from tests.appliance.release import install_server

AGENT = "linewatch-agent.service"
FIRST_BOOT = "linewatch-firstboot.service"
SERVER = "linewatch-server.service"
ASK_PAGE = """
import socket, ssl, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:8080/", timeout=10).status)
socket.create_connection(("127.0.0.1", 8883), timeout=10).close()
"""


def test_the_kernel_is_set_for_several_lines(probe: Layer) -> None:
    """At boot the sysctl file takes effect: pings without privilege, and lines side by side."""
    with booted(probe) as machine:
        names = ("ping_group_range", "conf/all/rp_filter", "conf/default/arp_announce")
        files = [f"/proc/sys/net/ipv4/{name}" for name in names]
        assert machine.run("cat", *files).split() == ["0", "2147483647", "2", "2"]


def test_the_agent_may_ask_a_modem_for_its_signal_and_nothing_more(probe: Layer) -> None:
    """polkit says yes to its user for Device.Control alone; to another user for nothing."""
    with booted(probe) as machine:
        asked = textwrap.dedent("""
            runuser -u {user} -- sleep 60 &
            until pgrep -u {user} -x sleep >/dev/null; do sleep 0.1; done
            pkcheck --action-id org.freedesktop.{action} --process $(pgrep -u {user} -x sleep)
            echo $?; pkill -u {user} -x sleep; wait
        """)

        def allowed(user: str, action: str) -> bool:
            said = machine.run("sh", "-c", asked.format(user=user, action=action))
            return said.split()[-1] == "0"

        assert allowed("linewatch", "ModemManager1.Device.Control")
        assert not allowed("linewatch", "ModemManager1.Messaging")
        assert not allowed("linewatch", "NetworkManager.settings.modify.system")
        assert not allowed("nobody", "ModemManager1.Device.Control")


def test_a_first_boot_that_fails_does_not_keep_the_agent_from_measuring(probe: Layer) -> None:
    """The unit of the first boot ends with an error before the agent, which starts all the same."""
    broken = "[Service]\nExecStart=\nExecStart=/bin/false\n"
    probe.put(f"/etc/systemd/system/{FIRST_BOOT}.d/test.conf", broken)
    with booted(probe) as machine:
        machine.wait_until(
            lambda: machine.show(AGENT, "ActiveState")["ActiveState"] == "active",
            "the agent is not ready",
        )
        stamp = "InactiveEnterTimestampMonotonic"
        began = "ExecMainStartTimestampMonotonic"
        assert machine.show(FIRST_BOOT, "Result")["Result"] == "exit-code"
        assert int(machine.show(FIRST_BOOT, stamp)[stamp]) <= int(machine.show(AGENT, began)[began])


def test_the_server_starts_and_is_ready_when_its_pages_are_open() -> None:
    """`systemctl start` returns when broker and pages are there; another user can't read them."""
    with layer() as made:
        install_server(made)
        init = "linewatch-server init /var/lib/linewatch-server --host 192.0.2.1"
        command = f"systemd-sysusers; install -d -m 700 -o linewatch-server -g linewatch-server \
            /var/lib/linewatch-server; runuser -u linewatch-server -- {init}"
        in_layer(made, "sh", "-ec", command)
        with booted(made) as machine:
            machine.run("systemctl", "start", SERVER)
            assert machine.run("python3", "-c", ASK_PAGE).strip() == "200"
            shown = machine.show(SERVER, "ActiveState", "NRestarts")
            assert shown == {"ActiveState": "active", "NRestarts": "0"}
            folder = machine.run("stat", "-c", "%U %a", "/var/lib/linewatch-server")
            assert folder.split() == ["linewatch-server", "700"]
            machine.run("systemctl", "stop", SERVER)
            assert machine.show(SERVER, "Result")["Result"] == "success"
