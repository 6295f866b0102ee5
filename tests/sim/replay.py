"""Plays a scenario at full length: rounds, records, verdicts and sync, in simulated time.

No clock is read and every die is seeded, so that a seed replays a run (the keys of
sealed blocks are random, and nothing depends on them). Each probe has a server of its own.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from linewatch_agent.plan.pace import TIGHT_PERIOD_S
from linewatch_agent.plan.schedule import plan_round
from linewatch_agent.store.tables import SealedRange
from linewatch_core.records import Role, Sample, Stream
from linewatch_core.sync.ingestor import Decision
from tests.lab.plan import CountryPlan
from tests.lab.scenario import Fault, Scenario
from tests.lab.truth import compare
from tests.sim.course import Run, runs
from tests.sim.effects import SIMULATED
from tests.sim.network import Network
from tests.sim.outcome import ROUNDS_OF_ERROR_MAX, Outcome, Tally
from tests.sim.probe import PERIOD_MS, Probe
from tests.sim.server import Server
from tests.sim.uplink import Uplink

SPREAD = 0.8
JITTER_MS = 1_000
SEAL_MS = 5_000
"""How often an agent looks for blocks that are due (recorder.py)."""
COMMIT_MS = 4_500
"""How often an agent commits, at most (recorder.py)."""
DRAIN_S = 600.0
"""How long the uplink may go on after the scenario's end, as it would."""
SILENT_MS = 2 * PERIOD_MS
"""A host abroad that answers after so long a silence makes the agent try its uplink."""


class CannotSimulateError(Exception):
    """The scenario asks for what is not simulated."""


def play(
    scenario: Scenario,
    country: CountryPlan,
    folder: Path,
    *,
    seed: int,
    progress: Callable[[float], None] = lambda _: None,
) -> list[Outcome]:
    """Play a scenario in an empty folder, with as many probes as it asks for, one by one.

    Args:
        progress: gets the seconds played, of all probes together.

    Raises:
        CannotSimulateError: it has a fault that the simulation does not make.
    """
    wanted = {event.what for event in scenario.events if isinstance(event.what, Fault)}
    if wanted - SIMULATED:
        names = ", ".join(sorted(wanted - SIMULATED))
        raise CannotSimulateError(
            f"cannot simulate {scenario.name}: {names} is not simulated; play it in the lab"
        )
    outcomes = []
    for number in range(1, scenario.probes + 1):
        own = folder / f"{number}"
        own.mkdir()
        before_s = (number - 1) * scenario.length_s

        def played(now_s: float, before_s: float = before_s) -> None:
            progress(before_s + now_s)

        name = f"{seed}" if scenario.probes == 1 else f"{seed}-{number}"
        outcomes.append(_play_probe(scenario, country, own, name=name, progress=played))
    return outcomes


def _play_probe(
    scenario: Scenario,
    country: CountryPlan,
    folder: Path,
    *,
    name: str,
    progress: Callable[[float], None],
) -> Outcome:
    """Play one probe; `name` seeds its dice."""
    rng = random.Random(name)
    network = Network(country, scenario, rng)
    utc_ms = int(scenario.begins.timestamp() * 1000)
    probe = Probe(folder / "probe", country, network.targets, utc_ms, f"sim {name}")
    server = Server(folder / "server")
    uplink = Uplink(probe, server, network, rng, utc_ms, scenario.events, scenario.changes_s())
    try:
        rounds = _Player(network, probe, uplink, rng, progress).play(runs(scenario, rng))
        slack_s = ROUNDS_OF_ERROR_MAX * PERIOD_MS / 1000
        return Outcome(
            scenario,
            name,
            compare(scenario, probe.told, slack_s=slack_s, holes=probe.holes),
            tuple(rounds),
            tuple(network.lost),
            tuple(probe.told),
            _tally(probe, server, uplink),
            tuple(uplink.restorations),
        )
    finally:
        probe.store.close()
        server.close()


@dataclass(slots=True)
class _Player:
    """Lets a probe measure, from boot to boot."""

    network: Network
    probe: Probe
    uplink: Uplink
    rng: random.Random
    progress: Callable[[float], None]

    def play(self, boots: Sequence[Run]) -> list[float]:
        """Measure to the end, then let the uplink finish; return when each round began."""
        begun_s: list[float] = []
        for run in boots:
            self.probe.boot(run)
            if run is boots[0]:
                self.uplink.server.live[self.probe.id] = self.probe.keys.current.public
            self.uplink.power_on(run.begins_s)
            last_ms = self._run(run, begun_s)
            if run.killed:
                self.uplink.power_off(run.ends_s)
                self.probe.power_cut()
            else:
                self._sealed(self.probe.stop(last_ms))
        until_s = self.network.length_s + DRAIN_S
        while self.uplink.machine.backlog() and self.uplink.now_s < until_s:
            self.uplink.advance(self.uplink.now_s + 1.0)
        return begun_s

    def _run(self, run: Run, begun_s: list[float]) -> int:
        """Measure round after round until the run ends; return when the next round would be."""
        probe, network = self.probe, self.network
        end_ms = probe.mono_ms(run.ends_s)
        silence = _Silence(probe)
        round_ms = probe.mono_ms(run.begins_s) + self.rng.randrange(JITTER_MS)
        while round_ms < end_ms:
            tight = probe.machine.wants_tight_schedule(round_ms)
            period_ms = int(TIGHT_PERIOD_S * 1000) if tight else PERIOD_MS
            next_ms = (round_ms // period_ms + 1) * period_ms + self.rng.randrange(period_ms // 10)
            if next_ms > end_ms and not run.killed:
                break
            begun_s.append(run.kernel_s + round_ms / 1000)
            probe.look(round_ms, network.at(begun_s[-1]))
            slots = plan_round(
                network.targets,
                round_ms=round_ms,
                period_ms=next_ms - round_ms,
                spread=SPREAD,
                number=round_ms // period_ms,
                tight=tight,
            )
            busy = self.uplink.line if self.uplink.machine.is_backfilling() else None
            samples = list(network.measure(slots, run.kernel_s, busy))
            if next_ms > end_ms:
                self._lose_power([s for s in samples if s.mono_ms < end_ms], round_ms, end_ms)
                break
            poke = silence.broken(samples)
            if poke or self.uplink.is_fresh(begun_s[-1]):
                for now_ms in range(round_ms + SEAL_MS, next_ms, SEAL_MS):
                    self._glance(now_ms, poke=poke)
                    poke = False
            self._commit(samples, next_ms)
            self.uplink.advance(run.kernel_s + next_ms / 1000)
            self.progress(run.kernel_s + next_ms / 1000)
            round_ms = next_ms
        return round_ms

    def _lose_power(self, samples: list[Sample], round_ms: int, end_ms: int) -> None:
        """Commit as densely as an agent does; what the last commit had not got is lost."""
        now_ms = round_ms
        for now_ms in range(round_ms + COMMIT_MS, end_ms + 1, COMMIT_MS):
            since_ms = now_ms - COMMIT_MS
            self._commit([s for s in samples if since_ms <= s.mono_ms < now_ms], now_ms)
        self.probe.lose([s for s in samples if s.mono_ms >= now_ms])

    def _glance(self, now_ms: int, *, poke: bool) -> None:
        """Seal what is due in the midst of a round, and try the uplink if hosts answer again."""
        now_s = self.probe.kernel_s + now_ms / 1000
        self._sealed(self.probe.seal(now_ms, live=self.uplink.line is not None))
        self.uplink.advance(now_s)
        if poke:
            self.uplink.poke(now_s)

    def _commit(self, samples: list[Sample], now_ms: int) -> None:
        self.probe.take(samples, now_ms)
        self._sealed(self.probe.seal(now_ms, live=self.uplink.line is not None))

    def _sealed(self, sealed: Sequence[SealedRange]) -> None:
        for one in sealed:
            self.uplink.held(one.stream, one.first, one.last)


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
        unwritten=probe.unwritten,
        untold=probe.untold,
    )
