"""The simulated probe: the real store, roll-ups, rounds, verdict machine and uploader, no clock.

What the agent's recorder and judge do on threads and timers happens here in
order: samples are committed in groups, roll-ups and transitions with them, and a
round is judged once it is on the disk and a later one has begun.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from linewatch_agent.plan.rollup import RollUp
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.store import Store, open_store
from linewatch_agent.store.tables import SealedRange
from linewatch_agent.store.values import Owner, StoreLimits
from linewatch_core.ids import BootId, Epoch, ProbeId, probe_id_from_random
from linewatch_core.judging import CachedTruth
from linewatch_core.records import (
    Anchor,
    AnchorSource,
    Body,
    BootStarted,
    ConfigApplied,
    GapReason,
    LineChanged,
    Sample,
    Stream,
    TargetNote,
    TruthApplied,
)
from linewatch_core.targets import Target
from linewatch_core.verdict import DEFAULTS, Machine, RoundBuilder
from tests.lab.plan import CountryPlan
from tests.lab.truth import Hole, Told
from tests.sim.course import Clock, Run
from tests.sim.network import LineState
from tests.sim.outcomes import ISSUER_SHA
from tests.sim.truth import told_of
from tests.support.segments import derived_bytes, recipient

PERIOD_MS = 30_000
ANCHOR_EVERY_MS = 3_600_000
CLOCK_ERROR_MS = 20
LIE_MS = 10 * 365 * 24 * 3_600_000


@dataclass(slots=True)
class Probe:
    """One probe on one store, from boot to boot.

    Attributes:
        utc_ms: when the scenario begins.
        measured: samples handed over; `unwritten` of them went with the power, of which
            `untold` are not inside what the next boot calls a hole.
        told: what was told of lines and targets; `holes` of the power.
    """

    directory: Path
    country: CountryPlan
    targets: Sequence[Target]
    utc_ms: int
    label: str
    measured: int = 0
    unwritten: int = 0
    untold: int = 0
    told: list[Told] = field(default_factory=list)
    holes: list[Hole] = field(default_factory=list)
    machine: Machine = field(default_factory=Machine)
    keys: SigningKeys = field(init=False)
    store: Store = field(init=False)
    kernel_s: float = 0.0
    on: bool = False
    _boots: int = 0
    _builder: RoundBuilder = field(init=False)
    _rolls: RollUp = field(default_factory=RollUp)
    _lines: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _clock: Clock | None = None
    _anchored_ms: int = 0
    _in_memory: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make its directory."""
        self.directory.mkdir()

    @property
    def id(self) -> ProbeId:
        """The probe's id."""
        return probe_id_from_random(derived_bytes(f"{self.label} probe", 10))

    def mono_ms(self, at_s: float) -> int:
        """Return a moment of the scenario on this boot's clock."""
        return round((at_s - self.kernel_s) * 1000)

    def boot(self, run: Run) -> None:
        """Start the agent: what it remembers is on the disk, and it tells what it always tells."""
        before_s, self.kernel_s = self.kernel_s, run.kernel_s
        self._boots += 1
        boot = BootId(derived_bytes(f"{self.label} boot {self._boots}", 16).hex())
        now_ms = self.mono_ms(run.begins_s)
        self.keys = SigningKeys.open(
            self.directory,
            probe=self.id,
            first_seed=lambda: derived_bytes(f"{self.label} root"),
            boot=boot,
            now_ms=now_ms,
        )
        self.store = open_store(
            self.directory,
            owner=Owner(self.id, boot, (recipient("fleet"),)),
            new_epoch=Epoch(derived_bytes(f"{self.label} epoch", 8).hex()),
            keys=self.keys,
            limits=StoreLimits(free_bytes_min=0),
            now_ms=now_ms,
        )
        self._builder, self.machine, self._rolls = RoundBuilder(boot), Machine(), RollUp()
        self._lines, self._clock, self.on = {}, None, True
        self._commit(self._opening(now_ms, before_s), now_ms)

    def power_cut(self) -> None:
        """End without a word: what was not committed is gone."""
        self.on = False
        self.store.close()

    def look(self, now_ms: int, lines: dict[str, LineState]) -> None:
        """Take in how the lines' devices and the clock are, as watcher and timekeeper do."""
        news: list[Body] = []
        for plan in self.country.line:
            state = lines[plan.id]
            if self._lines.get(plan.id) != state.problems:
                self._lines[plan.id] = state.problems
                usable = not state.problems
                families = (4,) if usable else ()
                news.append(
                    LineChanged(
                        now_ms, plan.id, plan.kind, usable, families, state.problems, plan.operator
                    )
                )
        clock = next(iter(lines.values())).clock
        if clock is not self._clock or now_ms - self._anchored_ms >= ANCHOR_EVERY_MS:
            self._clock, self._anchored_ms = clock, now_ms
            if clock is not Clock.UNSYNCED:
                utc_ms = self.utc_ms + int(self.kernel_s * 1000) + now_ms
                utc_ms += LIE_MS if clock is Clock.LYING else 0
                news.append(Anchor(now_ms, utc_ms, CLOCK_ERROR_MS, AnchorSource.NTP))
        if news:
            self._commit(news, now_ms)

    def take(self, samples: Sequence[Sample], now_ms: int) -> None:
        """Commit samples that were measured by `now_ms`, judge what is whole, and tell it."""
        self.measured += len(samples)
        add = self._rolls.add
        for sample in samples:
            add(sample)
        self._commit([*samples, *self._rolls.take_closed(now_ms)], now_ms)
        news = [
            told for one in self._builder.take_complete(now_ms) for told in self.machine.handle(one)
        ]
        if news:
            self.told += [told_of(one, self.kernel_s) for one in news]
            self._commit(news, now_ms)

    def lose(self, samples: Sequence[Sample]) -> None:
        """Note samples that were measured and not committed when the power went."""
        self.measured += len(samples)
        self.unwritten += len(samples)
        self._in_memory += [self.kernel_s + sample.mono_ms / 1000 for sample in samples]

    def seal(self, now_ms: int, *, live: bool) -> list[SealedRange]:
        """Close blocks that are due."""
        return self.store.seal_due(now_ms=now_ms, live=live)

    def stop(self, now_ms: int) -> list[SealedRange]:
        """Commit what is left and close every block; the uplink may still load."""
        self._commit(self._rolls.take_all(now_ms), now_ms)
        return self.store.stop(now_ms=now_ms)

    def committed(self) -> dict[Stream, int]:
        """Return how many records of each stream are on the disk."""
        return self.store.counts().committed

    def _opening(self, now_ms: int, before_s: float) -> list[Body]:
        notes = tuple(TargetNote(one.id, one.role, one.checks) for one in self.targets)
        said: list[Body] = [
            BootStarted(now_ms, "sim"),
            ConfigApplied(now_ms, "0" * 64, PERIOD_MS, notes, DEFAULTS),
            TruthApplied(now_ms, _truth(self.country)),
        ]
        gap = self.store.opening_gap(now_ms)
        if gap is None:
            return said
        assert gap.reason is GapReason.REBOOTED
        hole = Hole(before_s + gap.from_ms / 1000, self.kernel_s + gap.to_ms / 1000)
        self.holes.append(hole)
        self.untold += sum(not hole.begins_s <= at_s <= hole.ends_s for at_s in self._in_memory)
        self._in_memory.clear()
        return [*said, gap]

    def _commit(self, bodies: Sequence[Body], now_ms: int) -> None:
        if bodies:
            add = self._builder.add
            for record in self.store.commit(bodies, now_ms=now_ms, safe_ms=now_ms):
                add(record)


def _truth(country: CountryPlan) -> CachedTruth:
    """Return where the sensitive names' addresses truly lie, and whose certificates they have."""
    names = {
        name.partition(".")[0]: tuple(s.network for s in country.site if name in s.names)
        for site in country.site
        for name in site.sensitive
    }
    return CachedTruth(
        networks=names,
        issuers=dict.fromkeys(names, (ISSUER_SHA,)),
        block_addresses=tuple(each.block_page for each in country.operator),
    )
