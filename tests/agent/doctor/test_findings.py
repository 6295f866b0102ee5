"""What the doctor prints, and when its exit code says that something is wrong."""

import json

import pytest

from linewatch_agent.doctor.findings import Finding, in_json, in_words, is_wrong, note, ok, problem

FINE = ok("disk", "100 MB free")
ODD = note("clock", "nothing has told the time", "wait")
BAD = problem("modem", "SIM missing", "put a SIM in")


def test_problems_come_last_with_what_to_do() -> None:
    """Where a terminal shows them, whatever was looked at first."""
    assert in_words([BAD, FINE, ODD]).splitlines() == [
        "ok       disk           100 MB free",
        "note     clock          nothing has told the time",
        "                        do: wait",
        "problem  modem          SIM missing",
        "                        do: put a SIM in",
        "",
        "1 problem, see above.",
    ]


@pytest.mark.parametrize(
    ("findings", "last"),
    [([], "Nothing is wrong."), ([FINE, ODD], "Nothing is wrong."), ([BAD, BAD], "2 problems, ")],
)
def test_the_last_line_says_whether_anything_is_wrong(findings: list[Finding], last: str) -> None:
    """A note is not wrong."""
    assert in_words(findings).splitlines()[-1].startswith(last)
    assert is_wrong(findings) is last.startswith("2")


def test_a_program_reads_the_same_as_json() -> None:
    """Fields by name."""
    assert json.loads(in_json([FINE, BAD])) == {
        "wrong": True,
        "findings": [
            {"topic": "disk", "level": "ok", "text": "100 MB free", "remedy": None},
            {"topic": "modem", "level": "problem", "text": "SIM missing", "remedy": BAD.remedy},
        ],
    }
