"""The status in words: every state that a person may find the probe in."""

import copy
from typing import Any

import pytest

from linewatch_agent.status_words import in_words, stopped_in_words

STATUS: dict[str, Any] = {
    "running": True,
    "probe": "abcdefghijklmnop",
    "version": "0.1.0",
    "uptime_s": 93_784,
    "enrolled": True,
    "last_end": None,
    "led": {
        "signal": "measuring",
        "means": "one short flash every two seconds: it is measuring",
        "reasons": [],
        "led": "ACT",
        "problem": None,
    },
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
            "verdict_s": 7_260,
            "target_verdicts": {},
            "month_bytes": 40_000_000,
            "month_max_bytes": 150_000_000,
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
        "hold_days": 900,
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
        "reached_ago_s": 4,
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
        "Probe abcdefghijklmnop, release 0.1.0",
        "Running for 1 d 2 h",
        "Its light: one short flash every two seconds: it is measuring",
        "",
        "fixed-1      fixed, works for 2 h 1 min; 11 of 12 checks answered",
        "             3.5 MB of data since the start, 40.0 of 150 MB this month",
        "",
        "Last round   12 s ago, one every 30 s; 42 since the start",
        "Store        1000 records ever, 51.2 MB (10 % full); room for 900 days without the server",
        "Backlog      85 records not yet at the server",
        "Uplink       connected over fixed-1 for 1 h 1 min; server heard 4 s ago",
        "Clock        known to within 0.085 s (from server)",
    ]


MODEM = {
    "words": "SIM missing",
    "advice": "Put one in.",
    "reset": {"ago_s": 3600, "words": "since it was gone, it was reset"},
}


def test_a_modem_that_is_well_needs_no_advice() -> None:
    """One line tells of it."""
    modem = {"words": "registered at home", "advice": None, "reset": None}
    told = words(lines=[{**STATUS["lines"][0], "modem": modem}]).splitlines()
    assert told[5:7] == [
        "             modem: registered at home",
        "             3.5 MB of data since the start, 40.0 of 150 MB this month",
    ]


def test_a_mobile_line_tells_its_operator_and_its_modem() -> None:
    """Below its own line, above its data."""
    line = {**STATUS["lines"][0], "id": "mobile-1", "kind": "mobile", "operator": "00101"}
    told = words(lines=[{**line, "modem": MODEM}]).splitlines()
    assert told[4:9] == [
        "mobile-1     mobile, works for 2 h 1 min; 11 of 12 checks answered",
        "             operator 00101",
        "             modem: SIM missing",
        "             what helps: Put one in.",
        "             1 h ago: since it was gone, it was reset",
    ]


def test_no_line_names_the_command_that_says_more() -> None:
    """A probe without any line is told from one whose lines are broken."""
    assert "No line found: see `linewatch-agent lines`" in words(lines=[])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"checks": 0, "answered": 0},
            "fixed-1      fixed, works for 2 h 1 min; not measured yet\n",
        ),
        ({"checks": 0, "answered": 0, "usable": False}, "min; can't be measured\n"),
        ({"answered": 0, "usable": False}, "min; 0 of 12 checks answered\n"),
        ({"verdict": "data_cut"}, "fixed, mobile data is cut for 2 h 1 min; 11 of 12"),
        ({"verdict": "unknown", "verdict_s": None}, "fixed, not judged yet; 11 of 12"),
        (
            {"target_verdicts": {"site": "sni_blocked", "a": "ok"}},
            "\n             site: sni_blocked\n",
        ),
        ({"month_max_bytes": None}, "start, 40.0 MB this month\n"),
        ({"budget_step": 3}, "40.0 of 150 MB this month, measuring less to save data\n"),
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
        ({"store__thinned": 4}, "(10 % full), 4 segments thinned; room"),
        ({"store__hold_days": 2000}, "full); room for 5 years without the server\n"),
        ({"store__hold_days": None}, "(10 % full)\n"),
        ({"led__signal": "help", "led__reasons": ["a", "b"]}, "it is measuring (a; b)\n"),
        ({"led__led": None}, "it is measuring; but this machine has no LED for it\n"),
        ({"led__problem": "Permission denied"}, "LED ACT can't be driven: Permission denied\n"),
        ({"store__bytes": 512_000_000}, "512.0 MB (100 % full)"),
        (
            {"store__problem": "cannot use it: no space left"},
            "server\n             cannot use it: no space left\nBacklog",
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
            "Uplink       not connected: trying; reached 4 s ago; results are kept here meanwhile",
        ),
        (
            {
                "uplink__connected": False,
                "uplink__problem": "no answer in time",
                "uplink__reached_ago_s": None,
            },
            "not connected: no answer in time; not reached since the start; results",
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
        (
            {"last_end": {"count": 1, "result": "watchdog", "code": "dumped", "status": "ABRT"}},
            "\nIts last bad end: it did its work no longer, and the watchdog ended it (dumped",
        ),
        ({"uptime_s": 0}, "Running for 0 s"),
        ({"uptime_s": 61}, "Running for 1 min 1 s"),
        ({"uptime_s": 3_600}, "Running for 1 h"),
        ({"uptime_s": 86_400 * 90 + 5}, "Running for 90 d 5 s"),
    ],
)
def test_each_state_has_its_words(changes: dict[str, Any], says: str) -> None:
    """What is wrong is said where it is looked for."""
    assert says in words(**changes)


def test_a_probe_that_does_not_run_says_what_it_keeps() -> None:
    """And who knows why."""
    store = {"committed": {"ev": 1, "roll": 2, "raw": 30}, "backlog": 12, "bytes": 4_200_000}
    assert stopped_in_words(store).splitlines() == [
        "Nothing is being measured.",
        "Store        33 records ever, 4.2 MB",
        "Backlog      12 records not yet at the server",
        "What keeps the agent from running: linewatch-agent doctor",
    ]
