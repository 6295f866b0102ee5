"""The status in words: every state that a person may find the probe in."""

import copy
from typing import Any

import pytest

from linewatch_agent.snapshot import in_words

STATUS: dict[str, Any] = {
    "running": True,
    "probe": "abcdefghijklmnop",
    "version": "0.1.0",
    "uptime_s": 93_784,
    "enrolled": True,
    "lines": [
        {
            "id": "fixed-1",
            "kind": "fixed",
            "device": "eth0",
            "usable": True,
            "operator": None,
            "modem": None,
            "families": [4],
            "problems": [],
            "checks": 12,
            "answered": 11,
            "bytes_out": 1_200_000,
            "bytes_in": 2_300_000,
            "verdict": "ok",
            "target_verdicts": {},
            "month_bytes": 40_000_000,
            "budget_step": 0,
        }
    ],
    "round": {"ago_ms": 12_345, "period_s": 30.0, "rounds": 42, "missed": 0},
    "samples": [],
    "store": {
        "epoch": "00112233445566aa",
        "committed": {"ev": 5, "roll": 10, "raw": 985},
        "acked": {"ev": 5, "roll": 10, "raw": 900},
        "measured": 985,
        "waiting": 0,
        "backlog": 85,
        "backlog_sealed": 80,
        "bytes": 51_200_000,
        "bytes_max": 512_000_000,
        "segments": 7,
        "thinned": 0,
        "dropped": 0,
        "problem": None,
    },
    "uplink": {
        "enabled": True,
        "connected": True,
        "endpoint": "mqtts://a.example:8883",
        "line": "fixed-1",
        "for_s": 3_700,
        "last_ack_ago_s": 4,
        "attempts": 1,
        "problem": None,
    },
    "clock": {
        "error_ms": 85,
        "source": "server",
        "disputed": False,
        "utc_ms": 1_790_000_000_000,
        "kernel_synchronised": False,
    },
}


def words(**changes: Any) -> str:
    """Return a status in words; `store__bytes=1` changes one value."""
    status = copy.deepcopy(STATUS)
    for path, value in changes.items():
        *parents, last = path.split("__")
        where = status
        for parent in parents:
            where = where[parent]
        where[last] = value
    return in_words(status)


def test_a_probe_that_is_well_says_so() -> None:
    """Every line that a person looks for, in order."""
    assert words().splitlines() == [
        "Probe abcdefghijklmnop, running for 1 d 2 h",
        "",
        "fixed-1      fixed, works; 11 of 12 checks answered",
        "             3.5 MB of data since the start, 40.0 MB this month",
        "",
        "Last round   12 s ago, one every 30 s; 42 since the start",
        "Store        1000 records ever, 51.2 MB (10 % full)",
        "Backlog      85 records not yet at the server",
        "Uplink       connected over fixed-1 for 1 h 1 min; server heard 4 s ago",
        "Clock        known to within 0.085 s (from server)",
    ]


def test_a_mobile_line_tells_its_operator_and_its_modem() -> None:
    """Below its own line, above its data."""
    line = {**STATUS["lines"][0], "id": "mobile-1", "kind": "mobile", "operator": "00101"}
    told = words(lines=[{**line, "modem": {"words": "SIM missing"}}]).splitlines()
    assert told[2:5] == [
        "mobile-1     mobile, works; 11 of 12 checks answered",
        "             operator 00101",
        "             modem: SIM missing",
    ]


def test_no_line_names_the_command_that_says_more() -> None:
    """A probe without any line is told from one whose lines are broken."""
    assert "No line found: see `linewatch-agent lines`" in words(lines=[])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"checks": 0, "answered": 0}, "fixed-1      fixed, works; not measured yet\n"),
        ({"checks": 0, "answered": 0, "usable": False}, "fixed, works; can't be measured\n"),
        ({"answered": 0, "usable": False}, "fixed, works; 0 of 12 checks answered\n"),
        ({"verdict": "data_cut"}, "fixed, mobile data is cut; 11 of 12"),
        ({"verdict": "unknown"}, "fixed, not judged yet; 11 of 12"),
        (
            {"target_verdicts": {"site": "sni_blocked", "a": "ok"}},
            "\n             site: sni_blocked\n",
        ),
        ({"budget_step": 3}, "40.0 MB this month, measuring less to save data\n"),
        (
            {
                "problems": [
                    {
                        "code": "no_link",
                        "text": "eth0 has no link.",
                        "remedy": "plug",
                        "fatal": True,
                    }
                ]
            },
            "             eth0 has no link.\n             mend it with: plug",
        ),
    ],
)
def test_a_line_in_each_state(changes: dict[str, Any], says: str) -> None:
    """Not yet, not at all, dark; a problem comes with the command that mends it."""
    assert says in words(lines=[{**STATUS["lines"][0], **changes}])


def test_a_problem_without_a_remedy_promises_none() -> None:
    """No empty `mend it with`."""
    problem = {"code": "x", "text": "It rains.", "remedy": None, "fatal": False}
    said = words(lines=[{**STATUS["lines"][0], "problems": [problem]}])
    assert "It rains." in said
    assert "mend" not in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"round__ago_ms": None}, "Last round   none yet; one begins every 30 s"),
        ({"round__missed": 3}, "42 since the start, 3 missed"),
        ({"round__period_s": 2.5}, "one every 2.5 s"),
        ({"store__thinned": 4}, "(10 % full), 4 segments thinned"),
        ({"store__bytes": 512_000_000}, "512.0 MB (100 % full)"),
        (
            {"store__problem": "cannot use it: no space left"},
            "full)\n             cannot use it: no space left\nBacklog",
        ),
        (
            {"store__dropped": 12, "store__problem": "no space left"},
            "12 samples given up for want of memory",
        ),
        ({"store__backlog": 0}, "Backlog      0 records not yet at the server"),
        ({"uplink__enabled": False}, "Uplink       turned off in the configuration"),
        ({"uplink__line": None}, "Uplink       connected for 1 h 1 min;"),
        (
            {"uplink__last_ack_ago_s": None},
            "connected over fixed-1 for 1 h 1 min; the server is sil",
        ),
        ({"uplink__for_s": 0}, "for 0 s; server heard"),
        (
            {"uplink__connected": False},
            "Uplink       not connected: trying; results are kept here meanwhile",
        ),
        (
            {"uplink__connected": False, "uplink__problem": "no answer in time"},
            "Uplink       not connected: no answer in time; results are kept here meanwhile",
        ),
        (
            {"uplink__connected": False, "enrolled": False},
            "Uplink       not enrolled yet; not connected: trying;",
        ),
        ({"clock__error_ms": None, "clock__source": None}, "Clock        unknown: no time source"),
        ({"clock__error_ms": 12_345, "clock__source": "ntp"}, "to within 12.3 s (from ntp)"),
        ({"clock__error_ms": 123_456}, "to within 123 s"),
        ({"clock__error_ms": 1_800_000, "clock__disputed": True}, "contradict each other, by up"),
        ({"clock__error_ms": 1_234_567}, "to within 1235 s"),
        ({"uptime_s": 0}, "running for 0 s"),
        ({"uptime_s": 61}, "running for 1 min 1 s"),
        ({"uptime_s": 3_600}, "running for 1 h"),
        ({"uptime_s": 86_400 * 90 + 5}, "running for 90 d 5 s"),
    ],
)
def test_each_state_has_its_words(changes: dict[str, Any], says: str) -> None:
    """What is wrong is said where it is looked for."""
    assert says in words(**changes)
