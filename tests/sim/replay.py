"""Plays a scenario at full length: rounds, records, verdicts and sync, in simulated time.

No clock is read and every die is seeded, so that a seed replays a run (the keys of
sealed blocks are random, and nothing depends on them). One probe is simulated.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from linewatch_agent.plan.pace import TIGHT_PERIOD_S
from linewatch_agent.plan.schedule import ALL_DUE, plan_round
from linewatch_core.records import Role, Sample, Stream, Transition
from linewatch_core.sync.ingestor import Decision
from tests.lab.plan import CountryPlan
from tests.lab.scenario import Fault, Scenario
from tests.sim.effects import SIMULATED
from tests.sim.network import Network
from tests.sim.probe import BOOT_MS, PERIOD_MS, Probe
from tests.sim.server import Server
from tests.sim.truth import Comparison, compare
from tests.sim.uplink import Restoration, Uplink

SPREAD = 0.8
FIRST_COMMIT_MS = 5_000
JITTER_MS = 1_000
ROUNDS_OF_ERROR_MAX = 2
DRAIN_S = 600.0
"""How long the uplink may go on after the scenario's end, as it would."""
SILENT_MS = 2 * PERIOD_MS
"""A host abroad that answers after so long a silence makes the agent try its uplink."""


class CannotSimulateError(Exception):
    """The scenario asks for what is not simulated."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Records of all streams: committed, at the server once and more than once, and the rest.

    Attributes:
        measured: samples.
        held: not at the server, but still whole on the probe.
        gaps: given up by the probe, which a gap record at the server says.
        resent: segments that came again and were not stored again.
    """

    measured: int
    committed: int
    stored_once: int
    duplicates: int
    held: int
    gaps: int
    resent: int

    @property
    def lost(self) -> int:
        """Committed, and nowhere any more."""
        return self.committed - self.stored_once - self.duplicates - self.held - self.gaps


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    scenario: Scenario
    seed: int
    rounds: int
    comparison: Comparison
    transitions: tuple[Transition, ...]
    tally: Tally
    restorations: tuple[Restoration, ...]

    def missed_bars(self) -> list[str]:
        """Return the bars that do not hold, in words."""
        max_s = ROUNDS_OF_ERROR_MAX * PERIOD_MS / 1000
        rows = self.comparison.rows
        bars: dict[str, list[object]] = {
            "transition not told": [*(r for r in rows if r.error_s is None)],
            f"onset error above {max_s:g} s": [*(r for r in rows if (r.error_s or 0) > max_s)],
            "transition told that is not true": [*self.comparison.unlisted],
            "record lost": [None] * self.tally.lost,
            "record stored twice": [None] * self.tally.duplicates,
        }
        return [f"{len(found)} × {name}" for name, found in bars.items() if found]


def play(
    scenario: Scenario,
    country: CountryPlan,
    folder: Path,
    *,
    seed: int,
    progress: Callable[[float], None] = lambda _: None,
) -> Outcome:
    """Play a scenario in an empty folder; `progress` gets the seconds played.

    Raises:
        CannotSimulateError: it has a fault that the simulation does not make.
    """
    wanted = {event.what for event in scenario.events if isinstance(event.what, Fault)}
    if wanted - SIMULATED:
        names = ", ".join(sorted(wanted - SIMULATED))
        raise CannotSimulateError(
            f"cannot simulate {scenario.name}: {names} is not simulated; play it in the lab"
        )
    rng = random.Random(seed)
    network = Network(country, scenario, rng)
    utc_ms = int(scenario.begins.timestamp() * 1000)
    probe = Probe(folder / "probe", country, network.targets, utc_ms, f"sim {seed}")
    server = Server(folder / "server", {probe.id: probe.keys.current.public})
    uplink = Uplink(probe, server, network.at, rng, utc_ms, scenario.changes_s())
    try:
        rounds = _rounds(network, probe, uplink, rng, progress)
        return Outcome(
            scenario,
            seed,
            rounds,
            compare(scenario, probe.told, slack_s=ROUNDS_OF_ERROR_MAX * PERIOD_MS / 1000),
            tuple(probe.told),
            _tally(probe, server, uplink),
            tuple(uplink.restorations),
        )
    finally:
        probe.store.close()
        server.close()


def _rounds(
    network: Network,
    probe: Probe,
    uplink: Uplink,
    rng: random.Random,
    progress: Callable[[float], None],
) -> int:
    """Measure round after round to the end, then let the uplink finish; return how many."""
    end_ms = BOOT_MS + int(network.length_s * 1000)
    silence = _Silence(probe)
    count, round_ms = 0, BOOT_MS + rng.randrange(JITTER_MS)
    while True:
        tight = probe.machine.wants_tight_schedule(round_ms)
        period_ms = int(TIGHT_PERIOD_S * 1000) if tight else PERIOD_MS
        next_ms = (round_ms // period_ms + 1) * period_ms + rng.randrange(period_ms // 10)
        if next_ms > end_ms:
            break
        count += 1
        probe.look(round_ms, network.at((round_ms - BOOT_MS) / 1000))
        slots = plan_round(
            network.targets,
            round_ms=round_ms,
            period_ms=next_ms - round_ms,
            spread=SPREAD,
            number=ALL_DUE if tight else round_ms // PERIOD_MS,
        )
        busy = uplink.line if uplink.machine.is_backfilling() else None
        samples = list(network.measure(slots, BOOT_MS, busy))
        for group, now_ms in _groups(samples, round_ms, next_ms):
            probe.take(group, now_ms)
            for one in probe.seal(now_ms, live=uplink.line is not None):
                uplink.held(one.stream, one.first, one.last)
            if silence.broken(group):
                uplink.poke((now_ms - BOOT_MS) / 1000)
            uplink.advance((now_ms - BOOT_MS) / 1000)
        progress((next_ms - BOOT_MS) / 1000)
        round_ms = next_ms
    for one in probe.stop(round_ms):
        uplink.held(one.stream, one.first, one.last)
    until_s = network.length_s + DRAIN_S
    while uplink.machine.backlog() and uplink.now_s < until_s:
        uplink.advance(uplink.now_s + 1.0)
    return count


def _groups(
    samples: list[Sample], round_ms: int, next_ms: int
) -> Iterator[tuple[list[Sample], int]]:
    """Yield a round's samples as the recorder would commit them: those of its begin soon."""
    early_ms = min(round_ms + FIRST_COMMIT_MS, next_ms)
    early = [sample for sample in samples if sample.mono_ms < early_ms]
    yield early, early_ms
    if len(early) < len(samples):
        yield samples[len(early) :], next_ms


class _Silence:
    """Which hosts abroad have been silent for long, per line."""

    def __init__(self, probe: Probe) -> None:
        self._abroad = {one.id for one in probe.targets if one.role is Role.INTERNATIONAL}
        self._answered_ms: dict[tuple[str, str], int] = {}

    def broken(self, samples: list[Sample]) -> bool:
        """Return whether a host answers after a long silence."""
        found = False
        for sample in samples:
            if sample.failure is None and sample.target in self._abroad:
                at = (sample.line, sample.target)
                found |= sample.mono_ms - self._answered_ms.get(at, 0) > SILENT_MS
                self._answered_ms[at] = sample.mono_ms
        return found


def _tally(probe: Probe, server: Server, uplink: Uplink) -> Tally:
    """Hold what was committed against what the server's archive holds when it is opened."""
    committed = probe.committed()
    opened = server.opened()
    whole = {stream: set[int]() for stream in Stream}
    for one in probe.store.held():
        whole[one.stream].update(range(one.first, one.last + 1))
    once = twice = held = gaps = 0
    for stream in Stream:
        for seq in range(1, committed[stream] + 1):
            times = opened.times[stream][seq]
            once += times == 1
            twice += times > 1
            held += not times and seq in whole[stream]
            given_up = not times and seq not in whole[stream]
            gaps += given_up and opened.gaps[stream].covers(seq, seq)
    return Tally(
        measured=probe.measured,
        committed=sum(committed.values()),
        stored_once=once,
        duplicates=twice,
        held=held,
        gaps=gaps,
        resent=server.ingest.counts.decided[Decision.DUPLICATE],
    )
