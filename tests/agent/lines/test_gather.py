"""What sysfs says of a device on USB."""

from pathlib import Path

import pytest

from linewatch_agent.lines import gather
from linewatch_agent.modems.usb import is_plugged, usb_device_of
from tests.support.fake_usb import FakeUsb


@pytest.fixture
def usb(tmp_path: Path) -> FakeUsb:
    """A HiLink stick behind a hub."""
    usb = FakeUsb.made(tmp_path)
    usb.plug("1-1", device_class="09", interfaces=("hub",))
    drivers, classes = ("cdc_ether", "cdc_ether", "usb-storage"), ("02", "0a", "08")
    usb.plug("1-1.2", interfaces=drivers, classes=classes, device="usb0")
    return usb


def test_maker_classes_and_port_are_read(usb: FakeUsb) -> None:
    """The port without the bus's number, which may be another after a start."""
    assert gather._usb(usb.root / "sys/class/net/usb0/device") == {
        "usb_vendor": "12d1",
        "usb_classes": {"02", "0a", "08"},
        "usb_port": "xhci-1.2:1.0",
    }


def test_a_device_that_is_on_no_usb_has_none_of_it(usb: FakeUsb) -> None:
    """Nor one that is not there."""
    platform = usb.root / "sys/devices/soc/ethernet"
    platform.mkdir()
    (usb.root / "sys/class/net/eth0").mkdir()
    (usb.root / "sys/class/net/eth0/device").symlink_to(platform)
    for device in ("eth0", "eth9"):
        assert gather._usb(usb.root / f"sys/class/net/{device}/device") == {}
        assert usb_device_of(device, usb.root / "sys") is None


def test_a_network_device_is_traced_to_its_usb_device(usb: FakeUsb) -> None:
    """Under the name that the root helper takes; gone with it."""
    sys = usb.root / "sys"
    assert usb_device_of("usb0", sys) == "1-1.2"
    assert is_plugged("1-1.2", sys)
    usb.unplug("1-1.2")
    assert usb_device_of("usb0", sys) is None
    assert not is_plugged("1-1.2", sys)
    assert is_plugged("1-1", sys)
