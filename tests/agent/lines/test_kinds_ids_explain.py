"""Telling modems from fixed lines, remembering ids, and the text for people."""

import json

import pytest

from linewatch_agent.lines.explain import explain, explain_json
from linewatch_agent.lines.facts import Device
from linewatch_agent.lines.ids import LineIds, lasting_name
from linewatch_agent.lines.kinds import kind_of
from linewatch_agent.plan.line import Line, Problem
from linewatch_core.ids import is_name
from linewatch_core.records import LineKind


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        (Device("eth0"), LineKind.FIXED),
        (Device("enx001122334455", driver="r8152", usb_vendor="0bda"), LineKind.FIXED),
        (Device("eth1", driver="cdc_ncm", usb_vendor="0bda"), LineKind.FIXED),
        (Device("wlan0", wireless=True), LineKind.FIXED),
        (Device("wwan0"), LineKind.MOBILE),
        (Device("wwp0s20u2"), LineKind.MOBILE),
        (Device("ppp0"), LineKind.MOBILE),
        (Device("stick", kernel_type="wwan"), LineKind.MOBILE),
        (Device("eth1", driver="cdc_ether", usb_vendor="12d1"), LineKind.MOBILE),
        (Device("usb0", driver="rndis_host"), LineKind.MOBILE),
        (Device("eth1", driver="cdc_ether", usb_vendor="2001"), LineKind.MOBILE),
        (Device("eth1", driver="cdc_ether", usb_classes=frozenset({"02", "0a"})), LineKind.FIXED),
        (
            Device("eth1", driver="cdc_ether", usb_classes=frozenset({"02", "0a", "08"})),
            LineKind.MOBILE,
        ),
        (Device("eth1", driver="cdc_ncm", usb_classes=frozenset({"e0"})), LineKind.MOBILE),
        (Device("eth1", driver="ax88179_178a", usb_classes=frozenset({"08"})), LineKind.FIXED),
        (Device("m0", driver="qmi_wwan"), LineKind.MOBILE),
    ],
)
def test_a_modem_is_told_from_a_fixed_line(device: Device, kind: LineKind) -> None:
    """By the kernel's word, the name, the driver, or a generic driver's maker."""
    assert kind_of(device) is kind


def test_ids_are_numbered_by_kind_and_stay() -> None:
    """The map that is kept holds no device name."""
    ids = LineIds()
    given = [
        ids.id_for("eth0", LineKind.FIXED),
        ids.id_for("wwan0", LineKind.MOBILE),
        ids.id_for("eth1", LineKind.FIXED),
        ids.id_for("eth0", LineKind.FIXED),
    ]
    assert given == ["fixed-1", "mobile-1", "fixed-2", "fixed-1"]
    assert all(is_name(each) for each in given)
    assert not {"eth0", "eth1", "wwan0"} & set(ids.known)
    assert LineIds(ids.known).id_for("eth1", LineKind.FIXED) == "fixed-2"


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (Device("eth0"), "eth0"),
        (Device("enx001122334455", usb_port="xhci-1.2:1.0"), "enx001122334455"),
        (Device("modem2", usb_port="xhci-1.2:1.0"), "modem2"),
        (Device("usb1", usb_port="xhci-1.2:1.0"), "usb:xhci-1.2:1.0"),
        (Device("wwan0", usb_port="xhci-1.2:1.4"), "usb:xhci-1.2:1.4"),
    ],
)
def test_a_device_is_known_by_what_lasts(device: Device, expected: str) -> None:
    """A name given by the order of discovery may be another's after the next start."""
    assert lasting_name(device) == expected


def test_a_modem_under_the_name_of_an_adapter_is_another_line() -> None:
    """And the adapter has its old id when it comes back."""
    ids = LineIds()
    assert ids.id_for("eth1", LineKind.FIXED) == "fixed-1"
    assert ids.id_for("eth1", LineKind.MOBILE) == "mobile-1"
    assert ids.id_for("eth1", LineKind.FIXED) == "fixed-1"


def test_a_damaged_map_of_ids_gives_new_ids() -> None:
    """Whatever the store returns, ids are names and are not given twice."""
    ids = LineIds({"x": "fixed-", "y": "fixed-x", "z": "fixed-7", "": ""})
    assert ids.id_for("eth0", LineKind.FIXED) == "fixed-8"


LINES = [
    Line("fixed-1", LineKind.FIXED, "eth0", (4, 6), {4: "192.0.2.1"}, ("192.0.2.1",), (), "north"),
    Line(
        "mobile-1",
        LineKind.MOBILE,
        "wwan0",
        problems=(Problem("no_address", "wwan0 has no address.", "sudo mend wwan0"),),
    ),
    Line(
        "mobile-2",
        LineKind.MOBILE,
        "wwan1",
        (4,),
        problems=(Problem("no_resolver", "No resolver.", fatal=False),),
        operator="00101",
    ),
]
MODEMS = {"mobile-2": {"words": "registered at home", "signal_dbm": -95}}
MACHINE = [Problem("ping_closed", "No ICMP.", "sudo open", fatal=False)]


def test_the_text_tells_each_line_and_each_command() -> None:
    """A table, what modems say, then one paragraph a problem."""
    assert explain(LINES, MACHINE, MODEMS) == (
        "line      kind    device  operator  IPv4  IPv6  state\n"
        "fixed-1   fixed   eth0    north     yes   yes   usable\n"
        "mobile-1  mobile  wwan0   -         no    no    not usable\n"
        "mobile-2  mobile  wwan1   00101     yes   no    usable, with a problem\n"
        "\n"
        "mobile-2, modem: registered at home\n"
        "\n"
        "mobile-1: wwan0 has no address.\n"
        "    sudo mend wwan0\n"
        "\n"
        "mobile-2: No resolver.\n"
        "\n"
        "this machine: No ICMP.\n"
        "    sudo open\n"
    )


def test_the_text_without_lines_is_the_problems() -> None:
    """No empty table."""
    assert explain([], MACHINE) == "this machine: No ICMP.\n    sudo open\n"


def test_the_json_tells_the_same() -> None:
    """For scripts; `usable` is spelt out."""
    told = json.loads(explain_json(LINES, MACHINE, MODEMS))
    assert [line["usable"] for line in told["lines"]] == [True, False, True]
    assert told["lines"][0]["gateways"] == {"4": "192.0.2.1"}
    assert told["lines"][1]["problems"][0]["code"] == "no_address"
    assert told["problems"][0]["remedy"] == "sudo open"
    assert [line["operator"] for line in told["lines"]] == ["north", None, "00101"]
    assert [line["modem"] for line in told["lines"]] == [None, None, MODEMS["mobile-2"]]
