"""The copy in memory: what a killed run left, never what the store has, and nothing half."""

from pathlib import Path

import pytest

from linewatch_agent.store import spare
from linewatch_agent.store.spare import Mark, SpareCopy, Spared, open_spare, read_spare
from linewatch_core.ids import Epoch
from linewatch_core.records import Body
from tests.support.probe import NEXT_BOOT, boot_started, samples
from tests.support.segments import BOOT

EPOCH = Epoch("00" * 8)
RUN, BEFORE = b"this run", b"one before"


def copy(folder: Path, *, run: bytes = RUN, before: bytes = BEFORE) -> SpareCopy:
    """Begin a copy."""
    return SpareCopy(folder, epoch=EPOCH, boot=BOOT, run=run, run_before=before)


def left(folder: Path, run: bytes, through: int) -> Spared | None:
    """Read what a start finds whose store goes up to a body of a run."""
    return read_spare(folder, epoch=EPOCH, boot=BOOT, stored=Mark(run, through))


def numbered(first: int, last: int) -> list[tuple[int, Body]]:
    """Return samples with their numbers."""
    return [(number, body) for number, body in enumerate(samples(first, last), start=first)]


def test_a_kill_leaves_what_was_not_committed(tmp_path: Path) -> None:
    """Entries in order, from the first body that the store lacks."""
    one = copy(tmp_path)
    assert one.note([(1, boot_started()), *numbered(2, 4)], safe_ms=10)
    assert one.note(numbered(5, 6), safe_ms=20)
    assert left(tmp_path, RUN, 3) == Spared(tuple(samples(4, 6)), 20)
    assert left(tmp_path, BEFORE, 999) == Spared((boot_started(), *samples(2, 6)), 20)
    assert left(tmp_path, RUN, 6) is None
    one.close()


def test_what_is_cleared_does_not_come_back(tmp_path: Path) -> None:
    """After a commit of all, only what came later is there."""
    one = copy(tmp_path)
    one.clear()
    one.note(numbered(1, 40), safe_ms=10)
    one.clear()
    assert left(tmp_path, RUN, 40) is None
    one.note(numbered(41, 41), safe_ms=20)
    assert left(tmp_path, RUN, 40) == Spared(tuple(samples(41, 41)), 20)
    one.close()


def test_a_store_that_lacks_what_was_cleared_makes_the_word_void(tmp_path: Path) -> None:
    """Rot took commits back: the bodies count still, the time up to which all was kept does not."""
    one = copy(tmp_path)
    one.note(numbered(1, 40), safe_ms=10)
    one.clear()
    one.note(numbered(41, 42), safe_ms=20)
    assert left(tmp_path, RUN, 30) == Spared(tuple(samples(41, 42)), 0)
    one.close()


@pytest.mark.parametrize(
    ("boot", "run", "epoch"),
    [(NEXT_BOOT, RUN, EPOCH), (BOOT, b"a run since", EPOCH), (BOOT, RUN, Epoch("11" * 8))],
    ids=["another boot", "a run that committed since", "another store"],
)
def test_a_stale_copy_is_none(tmp_path: Path, boot: str, run: bytes, epoch: Epoch) -> None:
    """Its bodies may be in the store already, or its times mean nothing."""
    one = copy(tmp_path)
    one.note(numbered(1, 3), safe_ms=10)
    one.close()
    assert read_spare(tmp_path, epoch=epoch, boot=boot, stored=Mark(run, 0)) is None  # type: ignore[arg-type]


def test_the_entry_in_hand_at_a_kill_is_left_out(tmp_path: Path) -> None:
    """Cut at any byte: whole entries count, the last says up to when, and nothing is raised."""
    one = copy(tmp_path)
    one.note(numbered(1, 2), safe_ms=10)
    one.note(numbered(3, 4), safe_ms=20)
    one.close()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    found = set()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        spared = left(tmp_path, RUN, 0)
        found.add(None if spared is None else (len(spared.bodies), spared.safe_ms))
    assert found == {None, (2, 10), (4, 20)}


def test_the_copy_before_stays_until_there_is_another(tmp_path: Path) -> None:
    """A start that is killed before it has copied anything costs nothing."""
    one = copy(tmp_path)
    one.note(numbered(1, 2), safe_ms=10)
    one.close()
    two = copy(tmp_path, run=b"second", before=RUN)
    assert left(tmp_path, RUN, 0) == Spared(tuple(samples(1, 2)), 10)
    two.note(numbered(1, 5), safe_ms=30)
    assert left(tmp_path, RUN, 0) == Spared(tuple(samples(1, 5)), 30)
    two.close()


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound nothing is taken, and its word stays that of what is in it."""
    monkeypatch.setattr(spare, "BYTES_MAX", 2_000)
    one = copy(tmp_path)
    assert one.note(numbered(1, 5), safe_ms=10)
    assert not one.note(numbered(6, 60), safe_ms=20)
    assert left(tmp_path, RUN, 0) == Spared(tuple(samples(1, 5)), 10)
    assert one.through == 5
    one.close()


def test_it_lies_in_memory_or_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder on a disk is not taken: samples must never be on it unsealed."""
    where = {"epoch": EPOCH, "boot": BOOT, "run": RUN, "stored": Mark()}
    assert open_spare(None, **where) == (None, None)  # type: ignore[arg-type]
    assert open_spare(str(tmp_path / "none"), **where) == (None, None)  # type: ignore[arg-type]
    monkeypatch.setattr(spare, "_MEMORY", set())
    assert open_spare("/dev/shm", **where) == (None, None)  # type: ignore[arg-type]
    monkeypatch.undo()
    made, before = open_spare("/dev/shm:/somewhere", **where)  # type: ignore[arg-type]
    assert made is not None
    assert before is None
