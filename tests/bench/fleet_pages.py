"""How fast the pages of a large fleet come: prints figures, asserts nothing.

Run: python -m tests.bench.fleet_pages [PROBES]. Of each probe a week of events and
five-minute counts and the first day's samples: with the 100 by default 9 million records,
ten minutes. Times are of the processor, as a page takes one core; no network.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from linewatch_core.records import (
    Anchor,
    AnchorSource,
    BootStarted,
    EvBody,
    LineChanged,
    LineKind,
    Transition,
)
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.queries import Queries
from linewatch_server.rebuild import rebuild
from linewatch_server.web.coordinator import ask_range
from linewatch_server.web.ranges import PRESETS, preset_range
from tests.bench.index_load import DAY, SECRETS, UTC, show_sizes
from tests.support.probes import Item, ProbeWriter, boot_id, store
from tests.support.records import realistic_rolls, realistic_samples

DAYS = 7
HALF_HOUR = 1_800_000
SAMPLES_A_DAY, ROLLS_A_DAY = 18 * 2880, 18 * 288


def main(probes: int) -> None:
    """Fill a server with that fleet and print what each question took."""
    samples = [record.body for record in realistic_samples(SAMPLES_A_DAY, 1)]
    rolls = [record.body for record in realistic_rolls(ROLLS_A_DAY * DAYS, 1)]
    told = events()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with ArchiveWriter(directory) as archive:
            for number in range(probes):
                writer, boot = ProbeWriter(str(number)), boot_id(str(number))
                items: list[Item] = [writer.enrolment()]
                for bodies in (told, rolls, samples):
                    parts = [bodies[at : at + 200] for at in range(0, len(bodies), 200)]
                    items += [writer.close(boot, part) for part in parts]
                store(archive, *items, at_ms=UTC + DAYS * DAY)
        records = probes * (len(told) + len(rolls) + len(samples))
        print(f"{probes} probes, {records} records")
        took_s = timed("rebuild", lambda: rebuild(directory, recipient_secrets=SECRETS))
        print(f"  {took_s / records * 1e6:.1f} µs a record")
        show_sizes(directory)
        ask = Queries(directory, recipient_secrets=SECRETS)
        now_ms = UTC + DAYS * DAY
        timed("fleet", ask.fleet)
        for preset in PRESETS:
            wanted = preset_range(preset, now_ms=now_ms)
            page = partial(ask_range, ask, wanted, now_ms=now_ms)
            timed(f"the coordinator's page, {preset}", page)


def events() -> list[EvBody]:
    """Return a week of events: a start, two lines, a clock reading each half hour, ten changes
    of verdict a day."""
    lines = (("fixed", LineKind.FIXED), ("modem-1", LineKind.MOBILE))
    found: list[EvBody] = [
        BootStarted(0, "0.1.0"),
        *(LineChanged(1, name, kind, True, (4,)) for name, kind in lines),
        *(Anchor(at, UTC + at, 20, AnchorSource.NTP) for at in range(2, DAYS * DAY, HALF_HOUR)),
    ]
    for at in range(HALF_HOUR, DAYS * DAY, DAY // 10):
        change = ("ok", "dark", at - 60_000, at - 30_000, "all-dark", 1, tuple(range(1, 7)))
        found.append(Transition(at, "fixed", None, *change))
    return sorted(found, key=lambda body: body.mono_ms)


def timed(what: str, action: Callable[[], object]) -> float:
    """Run an action; print and return its processor time in seconds."""
    start = time.process_time()
    action()
    took_s = time.process_time() - start
    print(f"{what}: {took_s:.2f} s", flush=True)
    return took_s


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
