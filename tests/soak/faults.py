"""Which fault begins when, and for how long: all of it from one seed. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

QUIET_S = (15.0, 75.0)
"""How long everything works between two faults."""
LASTS_S = (5.0, 60.0)


class Kind(StrEnum):
    """What can happen to the agent's world."""

    BROKER = "broker killed"
    BROKER_WIPED = "broker killed and wiped"
    SERVER = "server killed"
    LINE = "line down"
    DISK_FULL = "disk full"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: when it begins, in seconds since the start, and how long it lasts."""

    at_s: float
    kind: Kind
    lasts_s: float


def faults(seed: int, length_s: float) -> Iterator[Fault]:
    """Yield the faults of a run, one after the other; none lasts beyond `length_s`.

    Every kind comes once in each five faults, so that no run misses one by chance.
    """
    draw = random.Random(seed)
    at_s = 0.0
    while True:
        for kind in draw.sample(list(Kind), len(Kind)):
            at_s += draw.uniform(*QUIET_S)
            lasts_s = draw.uniform(*LASTS_S)
            if at_s + lasts_s > length_s:
                return
            yield Fault(at_s, kind, lasts_s)
            at_s += lasts_s
