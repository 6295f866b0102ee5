"""How fast the server takes a backlog in and draws it: prints figures, asserts nothing.

Run: python -m tests.bench.index_load [DAYS] [PROBES]. Three days of two lines by
default. Every part is real: packs, signatures, sealing, SQLite; no network.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from linewatch_core.records import Anchor, AnchorSource, Body, BootStarted, LineChanged, LineKind
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.audit import audit
from linewatch_server.exports.samples import csv_lines
from linewatch_server.index.queries import Queries
from linewatch_server.rebuild import open_index, rebuild
from tests.support.probes import Item, ProbeWriter, boot_id, store
from tests.support.records import realistic_rolls, realistic_samples
from tests.support.segments import recipient_secret

SECRETS = (recipient_secret("fleet"),)
RECORDS_A_DAY = 36 * 2880
UTC, DAY = 1_800_000_000_000, 86_400_000


def main(days: int, probes: int) -> None:
    """Fill a server with that much and print what each step took."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with ArchiveWriter(directory) as archive:
            for number in range(probes):
                store(archive, *backlog(ProbeWriter(str(number)), days))
        records = sum(audit_of(directory, number) for number in range(probes))
        print(f"{probes} probes, {days} days, {records} records")
        timed("rebuild", lambda: rebuild(directory, recipient_secrets=SECRETS))
        with ArchiveWriter(directory) as archive:
            index, _ = open_index(directory, archive, recipient_secrets=SECRETS)
            index.close()
        show_sizes(directory)
        ask = Queries(directory, recipient_secrets=SECRETS)
        end = UTC + days * DAY
        timed("strips, cells of an hour", lambda: ask.strips(UTC, end, 3_600_000))
        one = ProbeWriter("0").probe
        day = (UTC, UTC + DAY)
        timed("strips of one probe, by the minute", lambda: ask.strips(*day, 60_000, probe=one))
        timed("targets of a line, a day", lambda: ask.targets(one, "fixed", UTC, UTC + DAY))
        timed("fleet", ask.fleet)
        samples = ask.samples(one, None, UTC, end)
        timed("export of one probe as CSV", lambda: sum(map(len, csv_lines(samples))))
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def backlog(writer: ProbeWriter, days: int) -> list[Item]:
    """Return an enrolment and the segments of so many days."""
    boot = boot_id(writer.label)
    events: list[Body] = [
        BootStarted(0, "0.1.0"),
        *(LineChanged(0, n, LineKind.FIXED, True, (4,)) for n in ("fixed", "modem-1")),
        *(
            Anchor(h * 3_600_000, UTC + h * 3_600_000, 20, AnchorSource.NTP)
            for h in range(24 * days)
        ),
    ]
    samples = [r.body for r in realistic_samples(RECORDS_A_DAY // 2 * days, 1)]
    rolls = [r.body for r in realistic_rolls(18 * 288 * days, 1)]
    parts = [samples[at : at + 200] for at in range(0, len(samples), 200)]
    parts += [rolls[at : at + 200] for at in range(0, len(rolls), 200)]
    return [writer.enrolment(), writer.close(boot, events), *(writer.close(boot, p) for p in parts)]


def audit_of(directory: Path, number: int) -> int:
    """Return how many records the archive holds of a probe."""
    return audit(directory, ProbeWriter(str(number)).probe, recipient_secrets=SECRETS).stored


def show_sizes(directory: Path) -> None:
    """Print the bytes of archive and index."""
    for pattern in ("archive/*.lwa", "index.sqlite*"):
        total = sum(path.stat().st_size for path in directory.glob(pattern))
        print(f"{pattern}: {total / 1e6:.2f} MB")


def timed(what: str, action: Callable[[], object]) -> None:
    """Run an action and print how long it took."""
    start = time.perf_counter()
    action()
    print(f"{what}: {time.perf_counter() - start:.3f} s")


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:]]
    main(*(numbers + [3, 1][len(numbers) :]))
