"""What the root helper does to a modem's USB, and all that it refuses; on a fake sysfs."""

import shutil
from pathlib import Path

import pytest

from linewatch_agent.modem_helper.reboot import UPTIME_MIN_S, reboot
from linewatch_agent.modem_helper.usb import RefusedError, UsbModems
from tests.support.fake_usb import HUAWEI, REALTEK, SAMSUNG, FakeUsb

STICK = "1-1.2"


@pytest.fixture
def usb(tmp_path: Path) -> FakeUsb:
    """A hub with a modem on port 2 and an Ethernet adapter on port 3."""
    usb = FakeUsb.made(tmp_path)
    usb.plug("1-1", vendor="2109", device_class="09", interfaces=("hub",))
    usb.plug(STICK, vendor="2c7c", interfaces=("qmi_wwan", "option"))
    usb.plug("1-1.3", vendor=REALTEK, interfaces=("r8152",))
    return usb


def modems(usb: FakeUsb) -> UsbModems:
    """Return the helper's hands, without the two seconds."""
    return UsbModems(usb.root, unbound_s=0.0)


def test_a_modem_is_taken_from_its_drivers_and_given_back(usb: FakeUsb) -> None:
    """By its own name, and nothing else's."""
    modems(usb).rebind(STICK)
    assert (usb.written("unbind"), usb.written("bind")) == (STICK, STICK)


def test_one_that_lost_its_drivers_already_is_only_given_back(usb: FakeUsb) -> None:
    """As after a step that was cut short: then the maker says that it is a modem."""
    folder = usb.plug("1-1.4", vendor=HUAWEI)
    (folder / "driver").unlink()
    modems(usb).rebind("1-1.4")
    assert (usb.written("unbind"), usb.written("bind")) == (None, "1-1.4")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("1-1.9", "cannot find the USB device"),
        ("1-1", "is no modem"),
        ("1-1.3", "is no modem"),
        ("usb1", "a name such as 1-1.2"),
        ("1-1.2:1.0", "a name such as 1-1.2"),
        ("../../../../etc/passwd", "a name such as 1-1.2"),
        ("1-1.2/../1-1.3", "a name such as 1-1.2"),
        ("1-1.2\n", "a name such as 1-1.2"),
        ("1-１", "a name such as 1-1.2"),
        ("", "a name such as 1-1.2"),
    ],
)
def test_what_is_no_modem_here_is_refused(usb: FakeUsb, name: str, why: str) -> None:
    """Whatever is asked, nothing is written then."""
    with pytest.raises(RefusedError, match=why):
        modems(usb).rebind(name)
    assert (usb.written("unbind"), usb.written("bind")) == (None, None)


def test_a_disk_of_a_phones_maker_is_no_modem(usb: FakeUsb) -> None:
    """The probe may run from it."""
    usb.plug("1-2", vendor=SAMSUNG, interfaces=("uas",))
    with pytest.raises(RefusedError, match="is no modem"):
        modems(usb).rebind("1-2")


def test_a_stick_with_a_card_in_use_is_left_alone(usb: FakeUsb) -> None:
    """Mounted, swapped to, or held by another device; with an idle card it is a modem."""
    folder = usb.plug("1-1.4", interfaces=("cdc_ether", "usb-storage"))
    disk = usb.add_disk(folder)
    modems(usb).rebind("1-1.4")
    (disk / "sda1/holders/dm-0").mkdir(parents=True)
    refused(usb, "1-1.4")
    shutil.rmtree(disk / "sda1/holders")
    (usb.root / "proc/swaps").write_text("Filename\n/dev/sda1 partition 1 0 -2\n")
    refused(usb, "1-1.4")
    (usb.root / "proc/swaps").write_text("")
    usb.add_disk(usb.plug("1-1.5", interfaces=("usb-storage",)), "sdb", mounted=True)
    refused(usb, "1-1.4")


def refused(usb: FakeUsb, name: str) -> None:
    """Expect that a device is refused for its disk."""
    with pytest.raises(RefusedError, match="the disk sda on it is in use"):
        modems(usb).rebind(name)


def test_power_is_switched_at_the_modem_s_own_port(usb: FakeUsb) -> None:
    """At a hub's, or at the machine's own; also when the modem fell off the bus."""
    usb.install("usr/sbin/uhubctl")
    usb.plug("1-4", interfaces=("cdc_mbim",))
    modems(usb).power_cycle(STICK)
    modems(usb).power_cycle("1-4")
    modems(usb).power_cycle("1-1.7")
    assert usb.asked("uhubctl") == [
        "-l 1-1 -p 2 -a cycle -d 5",
        "-l 1 -p 4 -a cycle -d 5",
        "-l 1-1 -p 7 -a cycle -d 5",
    ]


def test_power_stays_where_it_would_take_a_disk_away(usb: FakeUsb) -> None:
    """Ports of a hub are often switched together."""
    usb.install("usr/sbin/uhubctl")
    folder = usb.plug("1-1.4", vendor="0951", interfaces=("usb-storage",))
    usb.add_disk(folder, mounted=True)
    with pytest.raises(RefusedError, match="the disk sda on it is in use"):
        modems(usb).power_cycle(STICK)
    assert usb.asked("uhubctl") == []


def test_power_is_refused_in_words(usb: FakeUsb) -> None:
    """Without the program, without the hub, for what is no modem, or where the hub can't."""
    with pytest.raises(RefusedError, match="uhubctl is not installed"):
        modems(usb).power_cycle(STICK)
    usb.install("usr/sbin/uhubctl", says="No compatible devices detected!", code=1)
    with pytest.raises(RefusedError, match="there is no hub 1-2"):
        modems(usb).power_cycle("1-2.1")
    with pytest.raises(RefusedError, match="is no modem"):
        modems(usb).power_cycle("1-1.3")
    with pytest.raises(RefusedError, match=r"power of 1-1\.2: No compatible devices detected!"):
        modems(usb).power_cycle(STICK)


@pytest.mark.parametrize(
    ("config", "uptime_s", "why"),
    [
        (None, UPTIME_MIN_S, "modems.reboot is not true"),
        ("", UPTIME_MIN_S, "modems.reboot is not true"),
        ("[modems]\nreboot = false", UPTIME_MIN_S, "modems.reboot is not true"),
        ("[modems]\nreboot = 'true'", UPTIME_MIN_S, "modems.reboot is not true"),
        ("modems = 1", UPTIME_MIN_S, "modems.reboot is not true"),
        ("[modems\nreboot = true", UPTIME_MIN_S, "modems.reboot is not true"),
        ("[modems]\nreboot = true", UPTIME_MIN_S - 1, "runs for less than"),
    ],
)
def test_a_reboot_is_refused(usb: FakeUsb, config: str | None, uptime_s: float, why: str) -> None:
    """Unless root's own configuration allows it, and the machine has run for hours."""
    prepare_reboot(usb, config, uptime_s)
    with pytest.raises(RefusedError, match=why):
        reboot(usb.root)
    assert usb.asked("systemctl") == []


def test_a_reboot_that_is_allowed_is_done(usb: FakeUsb) -> None:
    """By the machine's own way to do it."""
    prepare_reboot(usb, "[modems]\nreboot = true", UPTIME_MIN_S)
    reboot(usb.root)
    assert usb.asked("systemctl") == ["reboot"]


def prepare_reboot(usb: FakeUsb, config: str | None, uptime_s: float) -> None:
    """Write the configuration and for how long the machine runs."""
    usb.install("usr/bin/systemctl")
    (usb.root / "proc/uptime").write_text(f"{uptime_s:.2f} 1.0\n")
    if config is not None:
        (usb.root / "etc/linewatch").mkdir(parents=True)
        (usb.root / "etc/linewatch/linewatch.toml").write_text(config)
