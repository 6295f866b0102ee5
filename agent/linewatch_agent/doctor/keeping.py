"""Can the probe keep what it measures: the store, and the disk below it?"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from linewatch_agent.doctor.findings import Finding, note, ok, problem
from linewatch_agent.doctor.host import Host
from linewatch_agent.plan.settings import StoreConfig
from linewatch_agent.store.database import STORE_FILE, SUSPECT_FILE
from linewatch_agent.store.opening import damaged_stores
from linewatch_agent.store.upgrade import SCHEMA_VERSION

HOLD_DAYS_FEW = 7
NEW_CARD = "save what it has (linewatch-agent export DIR), then use a new card"


def store(host: Host) -> Iterator[Finding]:
    """Say whether the store takes and gives what it should."""
    if (host.state / SUSPECT_FILE).exists():
        text = "it proved damaged; the next start sets it aside and goes on"
        yield problem("store", text, "sudo systemctl restart linewatch-agent")
    if host.status is not None:
        yield from _running(host.status["store"])
    else:
        yield from _resting(host.state)
    aside = damaged_stores(host.state)
    if aside:
        text = f"{len(aside)} damaged before, set aside and kept"
        yield note("store", text, "linewatch-agent export --damaged DIR saves what can be read")


def _running(said: dict[str, object]) -> Iterator[Finding]:
    days = said["hold_days"]
    if said["problem"]:
        yield problem(
            "store", f"it takes nothing: {said['problem']}", "free the disk, or see dmesg"
        )
    elif said["dropped"]:
        text = f"{said['dropped']} samples were given up, since nothing could be written for long"
        yield problem("store", text, "see dmesg for what the card says; use a new one")
    elif isinstance(days, int) and days < HOLD_DAYS_FEW:
        text = f"room for only {days} days without the server; then it thins out what is oldest"
        yield problem("store", text, "export to a stick, free the disk, or raise store.max_bytes")
    else:
        yield ok("store", f"{said['backlog']} records wait for the server")


def _resting(state: Path) -> Iterator[Finding]:
    """Look at a store that no agent uses, without changing anything in it."""
    path = state / STORE_FILE
    if not path.exists():
        yield note("store", "none yet: the first start makes it")
        return
    # Immutable: neither a lock nor a journal file is made beside it.
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version <= SCHEMA_VERSION:
                db.execute("SELECT count(*) FROM meta").fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        text = f"{path} can't be read ({error}); the next start sets it aside and goes on"
        yield problem("store", text, "start the agent; if it comes again, use a new card")
        return
    if version > SCHEMA_VERSION:
        text = f"a newer release made it (schema {version})"
        yield problem("store", text, "install that release again")
    else:
        yield ok("store", "can be read")


def disk(host: Host, config: StoreConfig) -> Iterator[Finding]:
    """Say whether the disk under the store takes writes, has room, and is a healthy one."""
    if not host.state.exists():
        yield problem("disk", f"there is no {host.state}", "enrol, or name it with --state")
        return
    about = os.statvfs(host.state)
    free = about.f_bavail * about.f_frsize
    if about.f_flag & os.ST_RDONLY:
        text = "it is read-only: the kernel does so when it finds errors"
        yield problem("disk", text, f"see dmesg; {NEW_CARD}")
    elif free < config.min_free_bytes:
        text = (
            f"{free // 1_000_000} MB free, of which {config.min_free_bytes // 1_000_000} stay free"
        )
        yield problem("disk", text, "delete what is not Linewatch's, or use a larger card")
    elif about.f_files and not about.f_favail:
        yield problem("disk", "it takes no more files", "delete what is not Linewatch's")
    else:
        yield ok("disk", f"{free // 1_000_000} MB free")
    yield from _mount(host)


def _mount(host: Host) -> Iterator[Finding]:
    """Look at how the file system is mounted, and at the errors that it has counted."""
    found = mount_of(host.read("/proc/self/mounts") or "", str(host.state.absolute()))
    if found is None:
        return
    device, options = found
    errors = host.number(f"/sys/fs/ext4/{Path(device).name}/errors_count")
    if errors:
        yield problem("disk", f"its file system has counted {errors} errors", f"{NEW_CARD}")
    if not {"noatime", "lazytime"} & set(options) and device.startswith("/dev/"):
        text = "every read is noted on it (no noatime, no lazytime): that wears a card"
        yield note("disk", text, f"sudo mount -o remount,noatime,lazytime,commit=600 {device}")


def mount_of(mounts: str, folder: str) -> tuple[str, list[str]] | None:
    """Return the device and the options of the file system that holds `folder`.

    Args:
        mounts: as /proc/self/mounts; later lines lie over earlier ones.
    """
    best: tuple[str, str, list[str]] | None = None
    for line in mounts.splitlines():
        columns = line.split()
        if len(columns) < 4:
            continue
        point = columns[1].replace("\\040", " ")
        inside = point in ("/", folder) or folder.startswith(f"{point}/")
        if inside and (best is None or len(point) >= len(best[0])):
            best = (point, columns[0], columns[3].split(","))
    return None if best is None else (best[1], best[2])
