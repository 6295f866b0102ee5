"""From readings to figures: rates, bars, and what could not be read."""

from dataclasses import replace

import pytest

from linewatch_agent.footprint.figures import (
    Figure,
    LineBytes,
    Measured,
    Reading,
    figures_of,
    in_words,
)
from linewatch_agent.footprint.kernel import Process

BEFORE = Reading(
    at_s=1_000.0,
    cpu_s=10.0,
    peak_bytes=30_000_000,
    disk_bytes=5_000_000,
    wal_bytes=268_000,
    lines={
        "fixed-1": LineBytes(1_000, 50_000, 5_000_000, 864_000),
        "mobile-1": LineBytes(0, None, 0, 864_000),
    },
    samples=100,
)
AFTER = Reading(
    at_s=4_600.0,
    cpu_s=82.0,
    peak_bytes=40_000_000,
    disk_bytes=6_000_000,
    wal_bytes=268_000,
    lines={
        "fixed-1": LineBytes(101_000, 550_000, 5_100_000, 860_400),
        "mobile-1": LineBytes(250_000, None, 149_000_000, 860_400),
        "mobile-2": LineBytes(5, 5, 5, 860_400),
    },
    samples=1_300,
)
HELD = [
    Process(10.0, 30_000_000, 30_000_000, 20_000_000, 26_000_000),
    Process(82.0, 34_000_000, 40_000_000, 22_000_000, None),
]
HOUR = Measured(BEFORE, AFTER, HELD, 2.5, "mmcblk0p2")


def by_name(measured: Measured) -> dict[str, Figure]:
    """Return the figures."""
    return {figure.name: figure for figure in figures_of(measured)}


def test_an_hour_is_reckoned_to_days_and_months() -> None:
    """Each figure from the two readings."""
    found = by_name(HOUR)
    values = {name: None if one.value is None else round(one.value, 3)
              for name, one in found.items()}  # fmt: skip
    assert values == {
        "resident, mean": 32.0,
        "  of it in no file": 21.0,
        "  as its share (PSS)": 26.0,
        "resident, peak": 40.0,
        "CPU to start": 2.5,
        "CPU an hour": 72.0,
        "writes a day": 24.0,
        "data this month, fixed-1": 29.0,
        "data this month, mobile-1": 208.75,
        "data this month, mobile-2": None,
        "samples an hour": 1200.0,
    }
    assert [name for name, one in found.items() if one.missed] == ["data this month, mobile-1"]
    assert found["CPU an hour"].remark == "2.0% of one core"
    assert found["data this month, fixed-1"].remark == (
        "its pace: 2.4 MB a day; its device, all programs: 12.0 MB a day"
    )
    assert found["data this month, mobile-1"].remark == "its pace: 6.0 MB a day"


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        (replace(HOUR, after=replace(AFTER, peak_bytes=48_100_000)), "resident, peak"),
        (replace(HOUR, start_cpu_s=5.1), "CPU to start"),
        (replace(HOUR, after=replace(AFTER, disk_bytes=6_700_000)), "writes a day"),
    ],
)
def test_each_bar_can_be_missed(changed: Measured, name: str) -> None:
    """By a little."""
    assert not by_name(HOUR)[name].missed
    assert by_name(changed)[name].missed


def test_what_could_not_be_read_is_said_and_is_neither_met_nor_missed() -> None:
    """With the reason, where the figure would be."""
    blind = replace(
        HOUR,
        before=replace(BEFORE, disk_bytes=None),
        after=replace(AFTER, lines={}),
        start_cpu_s=None,
        disk="it lies on no block device",
    )
    assert not any(figure.missed for figure in figures_of(blind))
    rows = in_words(blind, figures_of(blind)).splitlines()
    (row,) = [row for row in rows if row.startswith("writes a day")]
    assert row.split() == [
        *("writes", "a", "day", "not", "read", "40", "MB"),
        *("it", "lies", "on", "no", "block", "device"),
    ]
    assert rows[-1] == "No bar is exceeded."


def test_the_table_names_what_is_above_its_bar() -> None:
    """And where a time was too short to reckon with."""
    rows = in_words(HOUR, figures_of(HOUR)).splitlines()
    assert rows[0] == "60.0 minutes, 1300 samples so far"
    assert "resident, peak                   40.0 MB       48 MB  met    since its start" in rows
    assert rows[-1] == "Above the bar: data this month, mobile-1."
    assert not any("roughly" in row for row in rows)


def test_a_short_time_is_held_against_no_bar_of_a_day_or_a_month() -> None:
    """However much it comes to; what is not reckoned is judged as ever."""
    short = replace(HOUR, after=replace(AFTER, at_s=1_060.0, peak_bytes=48_100_000))
    figures = figures_of(short)
    assert [one.name for one in figures if one.missed] == ["resident, peak"]
    rows = in_words(short, figures).splitlines()
    assert "--minutes 30 or more" in rows[-2]
    assert "writes a day                   1440.0 MB       40 MB  ?      all programs" in "".join(
        rows
    )


def test_the_writes_of_a_young_store_are_not_judged() -> None:
    """While its log grows each commit writes more; that says nothing of a day."""
    young = replace(
        HOUR,
        before=replace(BEFORE, wal_bytes=100_000),
        after=replace(AFTER, disk_bytes=60_000_000),
    )
    writes = by_name(young)["writes a day"]
    assert (writes.missed, writes.sure) == (False, False)
    assert "an hour after the start" in writes.remark
    old = replace(young, before=BEFORE)
    assert by_name(old)["writes a day"].missed
