"""Can the probe keep what it measures: stores and disks, well and not."""

import os

import pytest

from linewatch_agent.doctor import keeping
from linewatch_agent.doctor.findings import Level
from linewatch_agent.doctor.keeping import mount_of
from linewatch_agent.plan.settings import MIB, StoreConfig
from linewatch_agent.store.database import STORE_FILE, SUSPECT_FILE
from tests.support.doctor_machine import Machine, levels, only
from tests.support.probe import Probe, sample

ROOMY = StoreConfig(min_free_bytes=MIB)


@pytest.mark.parametrize(
    ("changes", "level", "says"),
    [
        ({}, Level.OK, "7 records wait for the server"),
        ({"store__hold_days": None}, Level.OK, "7 records"),
        ({"store__problem": "no space left"}, Level.PROBLEM, "it takes nothing: no space left"),
        ({"store__dropped": 3}, Level.PROBLEM, "3 samples were given up"),
        ({"store__hold_days": 6}, Level.PROBLEM, "room for only 6 days"),
    ],
)
def test_a_store_in_use_by_what_the_agent_says(
    machine: Machine, changes: dict[str, object], level: Level, says: str
) -> None:
    """The agent alone has it open."""
    one = only(list(keeping.store(machine.running(**changes).host)))
    assert one.level is level
    assert one.text.startswith(says)


def test_a_store_at_rest_is_looked_at_and_left_as_it_is(machine: Machine) -> None:
    """Not one byte or file more."""
    probe = Probe(machine.state)
    probe.commit(sample(1))
    probe.store.close()
    before = {path: path.read_bytes() for path in machine.state.iterdir()}
    assert levels(list(keeping.store(machine.host))) == [Level.OK]
    assert {path: path.read_bytes() for path in machine.state.iterdir()} == before


def test_no_store_yet_is_no_fault(machine: Machine) -> None:
    """The first start makes one."""
    assert only(list(keeping.store(machine.host))).level is Level.NOTE


@pytest.mark.parametrize("damage", ["no database", "another schema", "no table"])
def test_a_store_that_cannot_be_read(machine: Machine, damage: str) -> None:
    """It says what becomes of it."""
    import sqlite3
    from contextlib import closing

    path = machine.state / STORE_FILE
    if damage == "no database":
        path.write_bytes(b"x" * 5000)
    else:
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA user_version = {99 if damage == 'another schema' else 1}")
            db.execute("CREATE TABLE other (x)")
            db.commit()
    one = only(list(keeping.store(machine.host)))
    assert one.level is Level.PROBLEM
    assert ("newer release" in one.text) is (damage == "another schema")


def test_damage_that_was_found_before(machine: Machine) -> None:
    """Of now: a problem; of long ago: kept, and how to save it."""
    (machine.state / SUSPECT_FILE).touch()
    (machine.state / f"{STORE_FILE}.damaged-1").touch()
    said = list(keeping.store(machine.running().host))
    assert levels(said) == [Level.PROBLEM, Level.OK, Level.NOTE]
    assert "export --damaged" in str(said[2].remedy)


def test_a_disk_with_room(machine: Machine) -> None:
    """It says how much."""
    one = only(list(keeping.disk(machine.host, ROOMY)))
    assert one.level is Level.OK


def test_a_disk_that_is_full(machine: Machine) -> None:
    """Of a limit that no disk meets."""
    one = only(list(keeping.disk(machine.host, StoreConfig(min_free_bytes=1024 * 1024 * MIB))))
    assert one.level is Level.PROBLEM
    assert "stay free" in one.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"f_flag": os.ST_RDONLY}, "it is read-only"), ({"f_favail": 0}, "no more files")],
)
def test_a_disk_that_takes_no_writes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], says: str
) -> None:
    """As the kernel says it."""
    real = os.statvfs(machine.state)
    fields = {name: getattr(real, name) for name in dir(real) if name.startswith("f_")} | changes
    told = type("Told", (), fields)
    monkeypatch.setattr(os, "statvfs", lambda _: told)
    one = only(list(keeping.disk(machine.host, ROOMY)))
    assert one.level is Level.PROBLEM
    assert says in one.text


def test_a_folder_that_is_not_there(machine: Machine) -> None:
    """One finding, no traceback."""
    machine.state.rmdir()
    assert only(list(keeping.disk(machine.host, ROOMY))).level is Level.PROBLEM


@pytest.mark.parametrize(
    ("options", "errors", "expected"),
    [
        ("rw,noatime", "0", [Level.OK]),
        ("rw,lazytime", "0", [Level.OK]),
        ("rw,relatime", "0", [Level.OK, Level.NOTE]),
        ("rw,noatime", "3", [Level.OK, Level.PROBLEM]),
    ],
)
def test_how_a_card_is_mounted_and_what_it_has_counted(
    machine: Machine, options: str, errors: str, expected: list[Level]
) -> None:
    """Errors of the file system mean that the card is dying."""
    machine.write("/proc/self/mounts", f"/dev/mmcblk0p2 / ext4 {options} 0 0\n")
    machine.write("/sys/fs/ext4/mmcblk0p2/errors_count", errors)
    assert levels(list(keeping.disk(machine.host, ROOMY))) == expected


def test_the_mount_that_holds_a_folder() -> None:
    """The deepest, of equal ones the last; a name that only begins alike is another."""
    mounts = (
        "/dev/root / ext4 rw 0 0\ntmpfs /var tmpfs ro 0 0\n/dev/b /var/lib ext4 rw,noatime 0 0\n"
        "/dev/c /var/lib ext4 ro 0 0\n/dev/d /with\\040space ext4 rw 0 0\nbroken\n"
    )
    assert mount_of(mounts, "/var/lib/linewatch") == ("/dev/c", ["ro"])
    assert mount_of(mounts, "/var/library") == ("tmpfs", ["ro"])
    assert mount_of(mounts, "/with space/x") == ("/dev/d", ["rw"])
    assert mount_of(mounts, "/home") == ("/dev/root", ["rw"])
    assert mount_of("", "/home") is None
