"""Run the soak and print its table. See the package.

Exit code 0 if it passed, 1 if not.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from linewatch_server.audit import Audit
from tests.soak.figures import Change, Reading, changes, grown
from tests.soak.life import life


def main(arguments: list[str]) -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=8.0, help="how long (default: 8)")
    parser.add_argument("--seed", type=int, help="which faults and when; default: new, printed")
    parser.add_argument("--readings", type=Path, help="write every reading there, as CSV")
    asked = parser.parse_args(arguments)
    seed = random.randrange(2**32) if asked.seed is None else asked.seed
    say(f"seed {seed}, {asked.hours:g} h")
    with tempfile.TemporaryDirectory() as folder, life(Path(folder), say) as it:
        it.begin()
        try:
            number = it.go_through(seed, asked.hours * 3600)
            found = it.end()
        finally:
            if asked.readings is not None:
                write(asked.readings, it.readings)
    changed = changes(it.readings)
    print(table(changed))
    print(f"{number} faults; {account(found)}")
    wrong = [*grown(changed), *([] if whole(found) else ["records are missing or twice"])]
    print("passed" if not wrong else "FAILED: " + "; ".join(wrong))
    return 1 if wrong else 0


def say(line: str) -> None:
    """Print at once, since a soak is watched."""
    print(line, flush=True)


def table(changed: Sequence[Change]) -> str:
    """Return how each quantity changed, as a Markdown table."""
    rows = [
        f"| {c.name} | {c.first:.1f} | {c.last:.1f} | {c.least:.1f} to {c.most:.1f} |"
        for c in changed
    ]
    return "\n".join(["| | first window | last window | range |", "|---|---|---|---|", *rows])


def account(found: Audit) -> str:
    """Return the account of the records in one line."""
    return (
        f"{found.stored} records stored, {found.missing} missing, {found.duplicates} twice, "
        f"{found.quarantined} quarantined, {len(found.gaps)} gaps told"
    )


def whole(found: Audit) -> bool:
    """Return whether every number that was given out is stored, once."""
    return found.stored > 0 and not (
        found.missing or found.duplicates or found.quarantined or found.unverified
    )


def write(path: Path, readings: Sequence[Reading]) -> None:
    """Write every reading as CSV."""
    lines = [
        f"{r.at_s:.0f},{r.rss_mb:.2f},{r.anon_mb:.2f},{r.descriptors},{r.threads},{r.store_mb:.2f}"
        for r in readings
    ]
    path.write_text("\n".join(["at_s,rss_mb,anon_mb,descriptors,threads,store_mb", *lines, ""]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
