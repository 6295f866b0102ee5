"""Reading the kernel: of this very process, and of files that say what a Pi's would."""

import os
from pathlib import Path

import psutil
import pytest

from linewatch_agent.footprint.kernel import Disk, carried_bytes, disk_of, process, written_bytes

DISKSTATS = """\
 179       0 mmcblk0 100 0 8000 50 200 10 4096 60 0 0 0 0
 179       2 mmcblk0p2 90 0 7000 40 190 10 4000 60 0 0 0 0
"""


def test_this_process_as_psutil_sees_it() -> None:
    """CPU and memory to within what passes between two readings."""
    other = psutil.Process()
    before = other.cpu_times()
    here = process(os.getpid())
    after = other.cpu_times()
    assert before.user + before.system - 0.02 <= here.cpu_s <= after.user + after.system + 0.02
    assert abs(here.resident_bytes - other.memory_info().rss) < 4_000_000
    assert here.peak_bytes >= here.resident_bytes > here.anonymous_bytes > 0
    assert here.share_bytes is not None
    assert abs(here.share_bytes - other.memory_full_info().pss) < 4_000_000


def test_a_name_with_spaces_and_brackets_moves_no_field(tmp_path: Path) -> None:
    """As proc(5) warns."""
    folder = tmp_path / "7"
    folder.mkdir()
    fields = " ".join(str(n) for n in range(4, 53))
    (folder / "stat").write_text(f"7 (a ) b) S {fields}")
    (folder / "status").write_text(
        "Name:\ta ) b\nVmHWM:\t 200 kB\nVmRSS:\t 100 kB\nRssAnon:\t 50 kB\nThreads:\t3\n"
    )
    found = process(7, tmp_path)
    assert found.cpu_s == (14 + 15) / os.sysconf("SC_CLK_TCK")
    assert (found.resident_bytes, found.peak_bytes) == (102_400, 204_800)
    assert (found.anonymous_bytes, found.share_bytes) == (51_200, None)


def test_a_process_that_has_ended_is_an_error(tmp_path: Path) -> None:
    """Not a figure of nought."""
    with pytest.raises(OSError, match="No such file"):
        process(7, tmp_path)


def test_what_was_written_to_a_device(tmp_path: Path) -> None:
    """Sectors of 512 bytes; a device that is gone says nothing."""
    stats = tmp_path / "diskstats"
    stats.write_text(DISKSTATS)
    assert written_bytes(Disk(179, 2, "mmcblk0p2"), stats) == 4000 * 512
    assert written_bytes(Disk(8, 1, "sda1"), stats) is None
    assert written_bytes(Disk(), tmp_path / "none") is None


def test_the_device_under_a_folder(tmp_path: Path) -> None:
    """By the numbers that the folder has."""
    number = tmp_path.stat().st_dev
    stats = tmp_path / "diskstats"
    stats.write_text(f"{os.major(number)} {os.minor(number)} xyz 1 2 3 4 5 6 7\n")
    assert disk_of(tmp_path, stats) == Disk(os.major(number), os.minor(number), "xyz")
    stats.write_text(DISKSTATS)
    none = disk_of(tmp_path, stats)
    assert none.name is None
    assert "no block device" in none.why


def test_what_a_network_device_has_carried(tmp_path: Path) -> None:
    """Both ways; None where it is gone."""
    folder = tmp_path / "eth0" / "statistics"
    folder.mkdir(parents=True)
    (folder / "rx_bytes").write_text("1000\n")
    (folder / "tx_bytes").write_text("200\n")
    assert carried_bytes("eth0", tmp_path) == 1200
    assert carried_bytes("eth1", tmp_path) is None
