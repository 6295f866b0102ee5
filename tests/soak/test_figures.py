"""The soak's own judgement: growth is found, a moment's peak is not, and seeds replay."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from tests.soak.faults import Kind, faults
from tests.soak.figures import Reading, changes, grown, read

HOUR_S = 3600


def readings(hours: float, *, leak_mb_per_h: float = 0.0, peak_at: int = -1) -> list[Reading]:
    """Return a reading every 10 s of an agent that starts, settles, and perhaps leaks."""
    found = []
    for number in range(int(hours * 360)):
        at_s = number * 10.0
        rss = 44.0 - (10.0 if at_s < 60 else 0.0) + leak_mb_per_h * at_s / HOUR_S
        descriptors = 40 if number == peak_at else 12
        found.append(Reading(at_s, rss, rss - 15, descriptors, 3, at_s / 1000))
    return found


def test_what_stays_the_same_size_is_flat() -> None:
    """The start's growth and a moment's descriptors do not count; nor does the store's growth."""
    assert grown(changes(readings(8, peak_at=2000))) == []


@pytest.mark.parametrize("hours", [2, 8])
def test_a_leak_is_found(hours: float) -> None:
    """6 MB between the first window and the last are too many, however long it takes."""
    (found,) = grown(changes(readings(hours, leak_mb_per_h=10)))
    assert found.startswith("rss_mb went from")


def test_descriptors_that_stay_open_are_found() -> None:
    """One more for each fault is a leak."""
    leaking = [
        Reading(r.at_s, r.rss_mb, r.anon_mb, 12 + i // 200, 3, 1.0)
        for i, r in enumerate(readings(4))
    ]
    (found,) = grown(changes(leaking))
    assert found.startswith("descriptors went from 1")


def test_too_few_readings_prove_nothing() -> None:
    """A run of a minute has no two windows."""
    with pytest.raises(ValueError, match="run for longer"):
        changes(readings(1)[:5])


def test_this_very_process_can_be_read(tmp_path: Path) -> None:
    """All quantities are there, and the size of what it keeps."""
    (tmp_path / "store.sqlite").write_bytes(bytes(2_000_000))
    found = read(os.getpid(), tmp_path, 5.0)
    assert found.rss_mb > found.anon_mb > 1
    assert found.descriptors >= 3
    assert found.threads >= 1
    assert found.store_mb == 2.0


def test_a_seed_gives_the_same_faults_and_each_kind_comes() -> None:
    """One after the other, within the length; another seed, other faults."""
    one = list(faults(7, 2 * HOUR_S))
    assert one == list(faults(7, 2 * HOUR_S))
    assert one != list(faults(8, 2 * HOUR_S))
    assert {fault.kind for fault in one[:5]} == set(Kind)
    assert all(a.at_s + a.lasts_s < b.at_s for a, b in pairwise(one))
    assert one[-1].at_s + one[-1].lasts_s <= 2 * HOUR_S
