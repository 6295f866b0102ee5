"""Measures a store with 90 days of default load: `python -m tests.bench.full_store FOLDER`.

Its size, and how long a start takes on it: opening, what is held and acked, and the
uploader's machine filled from it, in a new process, with the file's pages dropped
from memory before. Bars: 512 MiB, 2 s. Segments are made by the store's own
sealing and written a day a transaction. `--fill` copies them, with other numbers,
until the store is at its bound: a start reads no header and no body.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from linewatch_agent.store.blocks import OpenBlock
from linewatch_agent.store.database import STORE_FILE
from linewatch_agent.store.summary import Summary
from linewatch_agent.store.values import StoreLimits
from linewatch_core.records import Body, Record, Stream
from linewatch_core.segment.chain import head_after
from linewatch_core.segment.sealing import FrameContext
from linewatch_core.segment.segment import parse_segment
from linewatch_core.sync.upload_talk import Held
from linewatch_core.sync.uploader import Uploader
from tests.support.probe import Probe, close_all
from tests.support.records import realistic_events, realistic_rolls, realistic_samples
from tests.support.segments import BOOT, PROBE, recipient

DAYS = 90
A_DAY = {Stream.RAW: 28_800, Stream.ROLL: 2_592, Stream.EV: 67}
"""20 samples a minute, nine counts every five minutes, events as in the backfill bench."""
DARK = {Stream.RAW: 200, Stream.ROLL: 18, Stream.EV: 10}
"""Records of a segment without a server: its block closes after ten minutes."""
LIVE = {Stream.RAW: 20, Stream.ROLL: 9, Stream.EV: 2}
"""With a server it closes after a minute: more bytes a record, and ten times the segments."""
DIFFERENT = 20_000
"""So many different records of each stream, again and again."""
BYTES_MAX, START_S_MAX = StoreLimits().bytes_max, 2.0


def main() -> int:
    """Print sizes and starts; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="on the disk to measure")
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--fill", action="store_true", help="also a store at its bound")
    parser.add_argument("--start", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start:
        print(json.dumps(start(options.folder)))
        return 0
    missed = 0
    for name, per_segment in (("without a server", DARK), ("each minute sent", LIVE)):
        folder = options.folder / "probe"
        shutil.rmtree(folder, ignore_errors=True)
        generate(folder, per_segment, options.days)
        missed += report(f"{options.days} days, {name}", folder)
        if options.fill:
            fill(folder)
            missed += report(f"at its bound, {name}", folder)
        shutil.rmtree(folder)
    return 1 if missed else 0


def report(name: str, folder: Path) -> bool:
    """Start on a store, print what was seen; return whether a bar was missed."""
    size = (folder / STORE_FILE).stat().st_size
    drop_from_memory(folder / STORE_FILE)
    command = (sys.executable, "-m", "tests.bench.full_store", str(folder), "--start")
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)
    print(
        f"{name}: {told['segments']} segments, {size / 2**20:.1f} MiB, "
        f"start {told['seconds']:.2f} s, backlog {told['backlog']} records"
    )
    return size > 1.01 * BYTES_MAX or told["seconds"] > START_S_MAX


def start(folder: Path) -> dict[str, float]:
    """Do what a start of the agent does with its store; return how long that took."""
    began_s = time.monotonic()
    probe = Probe(folder)
    machine = Uploader(epoch=probe.store.epoch)
    for stream, ack in probe.store.acks().items():
        machine.load_ack(stream, ack)
    for held in probe.store.held():
        machine.handle(Held(held.stream, held.first, held.last), time.monotonic())
    counts = probe.store.counts()
    seconds = time.monotonic() - began_s
    close_all()
    return {"seconds": seconds, "segments": counts.segments, "backlog": machine.backlog()}


def generate(folder: Path, per_segment: dict[Stream, int], days: int) -> None:
    """Fill a store through its own sealing, a day a transaction."""
    probe = Probe(folder, limits=StoreLimits(free_bytes_min=0))
    supplies = {stream: _bodies(stream) for stream in Stream}
    for _ in range(days):
        for stream in Stream:
            _seal_day(probe, stream, supplies[stream], per_segment[stream])
    probe.store.stop(now_ms=10**6)
    close_all()


def _seal_day(probe: Probe, stream: Stream, supply: Iterator[Body], per_segment: int) -> None:
    db, chains, journal = probe.store._db, probe.store._chains, probe.store._journal
    head, made = chains.head(stream), []
    for first in range(0, A_DAY[stream], per_segment):
        count = min(per_segment, A_DAY[stream] - first)
        records = [Record(head.next_seq + n, next(supply)) for n in range(count)]
        context = FrameContext(PROBE, probe.store.epoch, stream, BOOT)
        block = OpenBlock.begin(context, (recipient("fleet"),), now_ms=0)
        block.accept(records, ())
        made += block.close(head, probe.keys.current)
        head = head_after(parse_segment(made[-1]).header)
    with db.transaction():
        chains.append(stream, made)
    journal._closed(stream, head)
    journal._next_seq[stream] = head.next_seq


def fill(folder: Path) -> None:
    """Copy the store's segments behind themselves until it is at its bound."""
    probe = Probe(folder, limits=StoreLimits(free_bytes_min=0))
    db, a_copy = probe.store._db, probe.store.counts().bytes
    step = max(probe.store.counts().committed.values()) + 1
    (last_id,) = db.execute("SELECT max(id) FROM segment").fetchone()
    for number in range(1, -(-BYTES_MAX // a_copy)):
        left = min(1.0, (BYTES_MAX - number * a_copy) / a_copy)
        with db.transaction():
            db.execute(
                "INSERT INTO segment (stream, first_seq, last_seq, header, body, body_bytes) "
                "SELECT stream, first_seq + ?, last_seq + ?, header, body, body_bytes "
                "FROM segment WHERE id <= ?",
                (number * step, number * step, int(last_id * left)),
            )
    # As the store itself keeps it up to date.
    with db.transaction():
        db.execute("DELETE FROM meta WHERE key = 'summary'")
        Summary.load(db).save(db)
    close_all()


def drop_from_memory(path: Path) -> None:
    """Write a file's pages out and drop them from memory."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def _bodies(stream: Stream) -> Iterator[Body]:
    make = {
        Stream.RAW: realistic_samples,
        Stream.ROLL: realistic_rolls,
        Stream.EV: realistic_events,
    }[stream]
    return cycle([record.body for record in make(DIFFERENT, 1)])


if __name__ == "__main__":
    raise SystemExit(main())
