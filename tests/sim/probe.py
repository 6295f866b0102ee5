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
from linewatch_agent.store.store import Owner, Store, StoreLimits, open_store
from linewatch_agent.store.tables import SealedRange
from linewatch_core.ids import BootId, Epoch, ProbeId, probe_id_from_random
from linewatch_core.records import (
    Anchor,
    AnchorSource,
    Body,
    BootStarted,
    ConfigApplied,
    LineChanged,
    Sample,
    Stream,
    TargetNote,
    Transition,
)
from linewatch_core.targets import Target
from linewatch_core.verdict import CachedTruth, Machine, ModemFacts, RoundBuilder
from tests.lab.plan import CountryPlan
from tests.sim.network import LineState
from tests.support.segments import derived_bytes, recipient

PERIOD_MS = 30_000
BOOT_MS = 60_000
"""How long the probe has been up when the scenario begins."""
ANCHOR_EVERY_MS = 3_600_000
CLOCK_ERROR_MS = 20


@dataclass(slots=True)
class Probe:
    """One probe on one store, for one boot."""

    directory: Path
    country: CountryPlan
    targets: Sequence[Target]
    utc_ms: int
    label: str
    measured: int = 0
    told: list[Transition] = field(default_factory=list)
    machine: Machine = field(default_factory=Machine)
    keys: SigningKeys = field(init=False)
    store: Store = field(init=False)
    _builder: RoundBuilder = field(init=False)
    _rolls: RollUp = field(default_factory=RollUp)
    _lines: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _modems: dict[str, ModemFacts] = field(default_factory=dict)
    _anchored_ms: int | None = None

    def __post_init__(self) -> None:
        """Start the storage, and tell what an agent tells at its start."""
        boot = BootId(derived_bytes(f"{self.label} boot", 16).hex())
        self.directory.mkdir()
        self.keys = SigningKeys.open(
            self.directory,
            probe=self.id,
            first_seed=lambda: derived_bytes(f"{self.label} root"),
            boot=boot,
            now_ms=BOOT_MS,
        )
        self.store = open_store(
            self.directory,
            owner=Owner(self.id, boot, (recipient("fleet"),)),
            new_epoch=Epoch(derived_bytes(f"{self.label} epoch", 8).hex()),
            keys=self.keys,
            limits=StoreLimits(free_bytes_min=0),
            now_ms=BOOT_MS,
        )
        self._builder = RoundBuilder(
            boot,
            truth=_truth(self.country),
            operators={line.id: line.operator for line in self.country.line},
        )
        notes = tuple(TargetNote(one.id, one.role, one.checks) for one in self.targets)
        applied = ConfigApplied(BOOT_MS, "0" * 64, PERIOD_MS, notes)
        self._commit([BootStarted(BOOT_MS, "sim"), applied], BOOT_MS)

    @property
    def id(self) -> ProbeId:
        """The probe's id."""
        return probe_id_from_random(derived_bytes(f"{self.label} probe", 10))

    def look(self, now_ms: int, lines: dict[str, LineState]) -> None:
        """Take in how the lines' devices and modems are, as the watcher does."""
        news: list[Body] = []
        for plan in self.country.line:
            state = lines[plan.id]
            if self._lines.get(plan.id) != state.problems:
                self._lines[plan.id] = state.problems
                usable = not state.problems
                families = (4,) if usable else ()
                news.append(
                    LineChanged(now_ms, plan.id, plan.kind, usable, families, state.problems)
                )
            if state.modem is not None and self._modems.get(plan.id) != state.modem:
                self._modems[plan.id] = state.modem
                self._builder.add_modem(now_ms, plan.id, state.modem)
        if self._anchored_ms is None or now_ms - self._anchored_ms >= ANCHOR_EVERY_MS:
            self._anchored_ms = now_ms
            utc_ms = self.utc_ms + now_ms - BOOT_MS
            news.append(Anchor(now_ms, utc_ms, CLOCK_ERROR_MS, AnchorSource.NTP))
        if news:
            self._commit(news, now_ms)

    def take(self, samples: Sequence[Sample], now_ms: int) -> None:
        """Commit samples that were measured by `now_ms`, judge what is whole, and tell it."""
        self.measured += len(samples)
        for sample in samples:
            self._rolls.add(sample)
        self._commit([*samples, *self._rolls.take_closed(now_ms)], now_ms)
        news = [
            told for one in self._builder.take_complete(now_ms) for told in self.machine.handle(one)
        ]
        if news:
            self.told += news
            self._commit(news, now_ms)

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

    def _commit(self, bodies: Sequence[Body], now_ms: int) -> None:
        if bodies:
            for record in self.store.commit(bodies, now_ms=now_ms, safe_ms=now_ms):
                self._builder.add(record)


def _truth(country: CountryPlan) -> CachedTruth:
    """Return where the sensitive names' addresses truly lie."""
    return CachedTruth(
        networks={
            name.partition(".")[0]: tuple(s.network for s in country.site if name in s.names)
            for site in country.site
            for name in site.sensitive
        },
        block_addresses=tuple(each.block_page for each in country.operator),
    )
