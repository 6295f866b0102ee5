"""The demo's live table: from statuses to what a person sees."""

import io
from typing import Any

import pytest
from rich.console import Console

from demo.table import History, render


def status(*samples: dict[str, Any], mono_ms: int = 100_000, **uplink: Any) -> dict[str, Any]:
    """Return the parts of a status that the table reads."""
    return {
        "mono_ms": mono_ms,
        "samples": list(samples),
        "lines": [{"usable": True}],
        "store": {
            "committed": {"ev": 3, "roll": 2, "raw": 40},
            "acked": {"ev": 3, "roll": 0, "raw": 30},
        },
        "uplink": {"connected": True, "problem": None, **uplink},
    }


def sample(at_ms: int, *, now_ms: int = 100_000, **fields: Any) -> dict[str, Any]:
    """Return a sample of a status that was made at `now_ms`."""
    values = {"line": "fixed-1", "target": "site", "check": "tcp", "family": 4, "failure": None}
    return {**values, "rtt_us": 12_340, "ago_ms": now_ms - at_ms, **fields}


def shown(history: History, now: dict[str, Any] | None, stored: int | None = 35) -> str:
    """Return what a terminal of 120 columns shows."""
    console = Console(file=io.StringIO(), width=120, color_system=None)
    page = "http://127.0.0.1:8080/"
    console.print(render(history, now, stored, page=page, phase="Measuring.", width=120))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def results(history: History) -> list[list[str]]:
    """Return the results of each row."""
    return [text.plain.split() for _, _, text in history.rows(width=120)]


def test_the_same_result_seen_twice_is_one() -> None:
    """The demo asks more often than the probe measures."""
    history = History()
    history.take(status(sample(90_000)))
    history.take(status(sample(90_000, now_ms=100_500), mono_ms=100_500))
    history.take(status(sample(95_000, rtt_us=20_000)))
    assert results(history) == [["12.34", "20.00"]]


def test_as_many_results_as_fit_are_shown_and_twelve_kept() -> None:
    """Newest last, so that the row does not jump."""
    history = History()
    for number in range(20):
        history.take(status(sample(80_000 + number, rtt_us=number * 1000)))
    assert results(history) == [[f"{n}.00" for n in range(11, 20)]]
    ((_, _, wide),) = history.rows(width=500)
    assert len(wide.plain.split()) == 12
    ((_, _, narrow),) = history.rows(width=10)
    assert narrow.plain.split() == ["19.00"]


@pytest.mark.parametrize(
    ("fields", "short"),
    [
        ({"rtt_us": None}, "ok"),
        ({"failure": "generic_timeout_error", "rtt_us": None}, "timeout"),
        ({"failure": "connection_refused", "rtt_us": None}, "refused"),
        ({"failure": "some_new_failure", "rtt_us": None}, "some_ne"),
    ],
)
def test_a_failure_is_a_word_and_not_a_number(fields: dict[str, Any], short: str) -> None:
    """What failed is named, known or not; an answer without a time is an answer."""
    history = History()
    history.take(status(sample(90_000, **fields)))
    assert results(history) == [[short]]


def test_each_line_target_check_and_family_has_a_row() -> None:
    """Sorted, so that rows stay where they are."""
    history = History()
    history.take(
        status(
            sample(90_000, family=6),
            sample(90_000),
            sample(90_000, line="mobile-1", check="icmp"),
        )
    )
    assert [row[:2] for row in history.rows(width=120)] == [
        ("fixed-1", "site tcp4"),
        ("fixed-1", "site tcp6"),
        ("mobile-1", "site icmp4"),
    ]


def test_the_picture_has_results_and_the_account() -> None:
    """What is measured, what is stored here, what is acknowledged, what is there."""
    history = History()
    now = status(sample(90_000))
    history.take(now)
    picture = shown(history, now)
    for part in ("Measuring.", "site tcp4", "12.34", "http://127.0.0.1:8080/", "connected"):
        assert part in picture
    assert "stored on the probe 45   acknowledged by the server 33" in picture
    assert "stored at the server 35" in picture


def test_what_does_not_answer_is_said() -> None:
    """The probe before its first status, the server while it is away, the uplink's problem."""
    assert "The probe is starting." in shown(History(), None)
    away = status(connected=False, problem="no answer in time")
    assert "stored at the server not answering" in shown(History(), away, None)
    assert "uplink: no answer in time" in shown(History(), away)
    assert "uplink: connecting" in shown(History(), status(connected=False))


@pytest.mark.parametrize("lines", [[], [{"usable": False}]])
def test_a_machine_without_a_usable_line_is_told(lines: list[dict[str, bool]]) -> None:
    """An empty table would leave a newcomer at a loss; with a line nothing is said."""
    said = "No line is usable (see above), so nothing is measured"
    assert said in shown(History(), {**status(), "lines": lines})
    assert said not in shown(History(), status())
