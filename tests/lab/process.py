"""Becomes one of Linewatch's programs inside the lab: it dies with the lab, like all children.

    python -m tests.lab.process [--boot FILE] [--round-s S] [--clock FILE] MODULE ARGUMENTS…

`--boot` puts a file in the place of the kernel's boot id, in this process's own mount
namespace (`ip netns exec` makes one), so that a start stands for another boot.
`--round-s` scales the agent's few fixed times that are no setting (SCALED) to rounds
that are shorter than 30 s. `--clock` has the kernel say of its clock what fits the lie in
a file (wall_clock.py). Nothing in the product knows of these.
"""

import argparse
import ctypes
import importlib
import os
import runpy
import sys
from pathlib import Path

from tests.lab.tun import die_with_parent, go_first
from tests.lab.wall_clock import kernel_says

BOOT_ID = b"/proc/sys/kernel/random/boot_id"
USUAL_ROUND_S = 30.0
_MS_BIND = 4096
SCALED = {
    ("linewatch_agent.watcher", "LOOK_EVERY_S"): None,
    ("linewatch_agent.recorder", "NEWS_S"): None,
    # What a new probe may tell of names after its first hour, it tells after six rounds.
    ("linewatch_agent.plan.truth", "HOUR_MS"): 6000,
    # A suspicion makes rounds of 30 s six times as dense, and big checks as seldom among them;
    # here rounds cannot be denser, nor big checks more seldom than usual.
    ("linewatch_agent.plan.schedule", "TIGHT_BIG_EVERY"): 1,
    # How long a second DNS reply is waited for goes with the delays, a seventh of life's: else a
    # round of a second has not ended when the next begins, and all is told a round later.
    ("linewatch_agent.checks.dns", "LISTEN_ON_S"): 0.15,
    ("linewatch_agent.checks.dns_exchange", "LATE_S"): 0.05,
    # The lab's delays are real and not scaled; this is longer than any way there and back.
    ("linewatch_core.verdict.turns", "IN_FLIGHT_MS"): 200,
}
"""Fixed times: in proportion to the round (None), or this."""


def main() -> None:
    """Set the stage, then run the module as `python -m` would."""
    die_with_parent()
    go_first()
    parser = argparse.ArgumentParser()
    parser.add_argument("--boot")
    parser.add_argument("--round-s", type=float)
    parser.add_argument("--clock", type=Path)
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if asked.boot is not None:
        _bind(asked.boot.encode(), BOOT_ID)
    if asked.round_s is not None:
        scale(asked.round_s / USUAL_ROUND_S)
    if asked.clock is not None:
        clock = importlib.import_module("linewatch_agent.clock")
        clock.kernel_clock = lambda: kernel_says(asked.clock)  # type: ignore[attr-defined]
    sys.argv = [asked.module, *asked.arguments]
    runpy.run_module(asked.module, run_name="__main__", alter_sys=True)


def scale(by: float) -> None:
    """Scale the fixed times of the agent; a missing one is an error."""
    for (name, constant), fixed in SCALED.items():
        module = importlib.import_module(name)
        usual = getattr(module, constant)
        setattr(module, constant, usual * by if fixed is None else fixed)


def _bind(source: bytes, target: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source, target, None, _MS_BIND, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot put another boot id in place: {os.strerror(error)}")


if __name__ == "__main__":
    main()
