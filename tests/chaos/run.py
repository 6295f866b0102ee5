"""One run: a probe, a broker and a server through random faults, then a quiet end and the account.

Everything that is random comes from the seed. A failure carries the seed and
the last steps; the digest of a run is over all its steps and the archive.
"""

import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from linewatch_core.segment.signing import SigningKey
from tests.chaos import faults
from tests.chaos.broker import Broker
from tests.chaos.disk import Disk
from tests.chaos.ledger import Ledger
from tests.chaos.pack_reader import contents
from tests.chaos.patches import Clock, patched
from tests.chaos.probe import Probe
from tests.chaos.server import Server
from tests.chaos.vfs import DiskVfs
from tests.chaos.world import World
from tests.support.segments import derived_bytes, recipient_secret

STEPS = 140
TRACE_SHOWN = 40
MEMORY = Path("/dev/shm")

_vfs: list[DiskVfs] = []


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run that broke nothing did.

    Attributes:
        digest: over all steps and the archive's bytes: the same for the same seed.
        events: how often each fault struck, and each loss was excused, by name.
        promised: how many records the store said are committed.
        trace: all steps, a line each.
    """

    seed: int
    digest: str
    events: Counter[str]
    promised: int
    trace: tuple[str, ...]


class ChaosError(AssertionError):
    """A seed broke a promise; the text has the seed, the reason, the last steps."""


def run(seed: int, *, steps: int = STEPS) -> Outcome:
    """Run a seed and settle its account.

    Raises:
        ChaosError: it broke a promise.
    """
    base = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="linewatch-chaos-", dir=base) as folder:
        return _run(seed, steps, Path(folder))


def _run(seed: int, steps: int, folder: Path) -> Outcome:
    rng = random.Random(seed)
    clock, ledger = Clock(now_s=100.0), Ledger()
    broker = Broker(rng)
    probe = Probe(Disk(folder / "probe", rng), clock, broker, ledger, folder / "memory")
    root_key = SigningKey(derived_bytes("root seed")).public
    server = Server(Disk(folder / "server", rng), broker, ledger, rng, root_key, folder / "backup")
    world = World(rng, clock, broker, ledger, probe, server)
    if not _vfs:
        _vfs.append(DiskVfs())
    disks = [probe.disk, server.disk]
    with _vfs[0].serving(disks, rng), patched(disks, clock, rng):
        try:
            probe.reboot()
            _play(world, steps)
            server.end()
            held = contents(server.disk.root, recipient_secret("fleet"))
            ledger.settle(held)
        except Exception as error:
            shown = "\n".join(world.trace[-TRACE_SHOWN:])
            more = "" if steps == STEPS else f' ARGS="--steps {steps}"'
            raise ChaosError(
                f"seed {seed} ({steps} steps): {type(error).__name__}: {error}\n"
                f"the same again: make sim SEED={seed}{more}\n"
                f"the last steps:\n{shown}"
            ) from error
        finally:
            probe.end()
            server.end()
    world.events.update(ledger.excused)
    promised = sum(map(len, ledger.promises.values()))
    return Outcome(seed, world.digest(), world.events, promised, tuple(world.trace))


def _play(world: World, steps: int) -> None:
    plan = faults.plan(world.rng)
    for _ in range(steps):
        faults.strike(world, plan)
        world.step(world.rng.choice([1, 2, 5, 5, 10, 30]))
    world.quiet_down()
