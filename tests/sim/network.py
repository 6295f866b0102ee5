"""The country as the probe's checks meet it: knobs in force in, samples out.

Pure but for its dice, which are seeded. Between two events nothing changes, so the
shape of every check on every line is worked out once per state and only noise is
added per sample.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

import msgspec

from linewatch_agent.plan.schedule import Slot
from linewatch_core.details import ThroughputDetail
from linewatch_core.modem_words import MODEM_TARGET, Bearer, ModemDetail, Registration, Sim
from linewatch_core.records import Check, LineKind, Role, Sample
from linewatch_core.targets import GATEWAY_HOST, Target
from tests.lab.knobs import Knob
from tests.lab.plan import CountryPlan, LinePlan
from tests.lab.scenario import Event, Fault, Scenario
from tests.lab.targets import lab_targets
from tests.sim import course
from tests.sim.course import Clock
from tests.sim.effects import (
    EFFECTS,
    FAULTS,
    FIXED_PROBLEMS,
    MOBILE_PROBLEMS,
    MODEM,
    SERVER_AWAY,
    Effect,
    Fate,
    Scope,
)
from tests.sim.outcomes import TIMEOUT, Asked, Shape, shape

LOSS = 0.005
"""Share of all single questions that get no answer, on any line at any time."""
NOISE = 0.3
GOODPUT_BYTES = 49_152
SIGNAL_DBM, SIGNAL_NOISE_DB = -95, 3
NETWORK_CODES = {"alpha": "00101", "beta": "00102", "gamma": "00103"}
"""Country 001 is for tests (ITU-T E.212)."""
MANY_PAIRS = 5
SINGLE = frozenset({Check.ICMP, Check.TCP, Check.DNS})
"""Checks of one question, which one lost packet fails here."""
CHECKS: dict[Role, frozenset[Check]] = {
    Role.DOMESTIC: frozenset({Check.TCP}),
    Role.INTERNATIONAL: frozenset({Check.TCP}),
    Role.RESOLVER: frozenset({Check.DNS}),
    Role.NEUTRAL: frozenset({Check.HTTP}),
    Role.SENSITIVE: frozenset({Check.DNS, Check.HTTP, Check.SNI}),
    Role.PORTAL: frozenset(),
}
"""Of the lab's checks, those always made: packing a record takes longer than all else here."""
WANTED_BY: dict[Knob, tuple[tuple[Role, Check], ...]] = {
    Knob.THROTTLE_ALL: ((Role.INTERNATIONAL, Check.THROUGHPUT),),
    Knob.TLS_INTERCEPT: ((Role.INTERNATIONAL, Check.HTTP),),
    Knob.UDP_ONLY: ((Role.INTERNATIONAL, Check.ICMP),),
    Knob.ICMP_ONLY: ((Role.INTERNATIONAL, Check.ICMP),),
    Knob.HTTP_RESET: ((Role.SENSITIVE, Check.HOST),),
    Knob.HTTP_BLOCK_PAGE: ((Role.SENSITIVE, Check.HOST),),
    Knob.BLACKHOLE: ((Role.SENSITIVE, Check.NEIGHBOUR), (Role.SENSITIVE, Check.TCP)),
    Knob.SITE_DOWN: ((Role.SENSITIVE, Check.NEIGHBOUR), (Role.SENSITIVE, Check.TCP)),
    Knob.DNS_SPOOF: ((Role.SENSITIVE, Check.TCP),),
    Knob.PORTAL: ((Role.PORTAL, Check.PORTAL), (Role.PORTAL, Check.RANDOM_NAME)),
}
"""Those made, too, in a scenario that turns the knob."""
COSTLY = frozenset({Check.THROUGHPUT, Check.PORTAL, Check.RANDOM_NAME})
COSTLY_EVERY = 2
"""In every which round those are made."""
GATEWAY = Target(id="gateway", role=Role.GATEWAY, host=GATEWAY_HOST, checks=(Check.ICMP,))


def sim_targets(country: CountryPlan, scenario: Scenario) -> tuple[Target, ...]:
    """Return what the simulated probe measures: the lab's targets with fewer checks."""
    turned = {event.what for event in scenario.events}
    added = {pair for knob, pairs in WANTED_BY.items() if knob in turned for pair in pairs}
    found = [GATEWAY]
    for target in lab_targets(country):
        wanted = CHECKS[target.role] | {check for role, check in added if role is target.role}
        checks = tuple(check for check in target.checks if check in wanted)
        every = COSTLY_EVERY if COSTLY & set(checks) else 1
        if checks:
            found.append(
                msgspec.structs.replace(target, checks=checks, every=every, pairs=MANY_PAIRS)
            )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class LineState:
    """One line between two events.

    Attributes:
        shapes: of every check of every target.
        loss: share of single questions that fail.
        bytes_per_s: what passes.
        reaches_server: the broker answers.
        clock: what the probe's clock is worth, on every line the same.
    """

    shapes: dict[tuple[str, Check], Shape]
    loss: float
    bytes_per_s: float
    rtt_s: float
    problems: tuple[str, ...]
    modem: ModemDetail | None
    reaches_server: bool
    clock: Clock


class Network:
    """All lines over a whole scenario.

    `lost` are the checks that failed by chance alone: line, target, and the round's begin
    in seconds.
    """

    def __init__(self, country: CountryPlan, scenario: Scenario, rng: random.Random) -> None:
        self.targets = sim_targets(country, scenario)
        self.length_s = scenario.length_s
        self._country = country
        self._events = course.events(scenario)
        self._roll = rng.random
        moments = {moment for each in self._events for moment in (each.begins_s, each.ends_s)}
        self._changes_s = tuple(sorted(moments | set(scenario.changes_s())))
        self._states: dict[int, dict[str, LineState]] = {}
        self.lost: list[tuple[str, str, float]] = []

    def at(self, moment_s: float) -> dict[str, LineState]:
        """Return every line's state at a moment of the scenario."""
        number = bisect_right(self._changes_s, moment_s)
        if number not in self._states:
            events = [e for e in self._events if e.begins_s <= moment_s < e.ends_s]
            clock = course.clock_at(events, moment_s)
            self._states[number] = {
                line.id: self._state(line, self._on(line, events), clock)
                for line in self._country.line
            }
        return self._states[number]

    def collects(self, moment_s: float) -> float:
        """Return when the server next takes what the broker has: now, or after an outage."""
        down = (e for e in self._events if e.what is Fault.COLLECTOR_DOWN)
        return max([moment_s, *(e.ends_s for e in down if e.begins_s <= moment_s < e.ends_s)])

    def measure(
        self, slots: Sequence[Slot], kernel_s: float, busy_line: str | None
    ) -> Iterator[Sample]:
        """Yield the samples of a round's slots on every line, and first what modems say.

        `kernel_s` is when the boot's clock was 0.
        """
        roll = self._roll
        yield from self._modems(slots[0].round_ms, kernel_s)
        for slot in slots:
            target, check = slot.target.id, slot.check
            for line, state in self.at(kernel_s + slot.slot_ms / 1000).items():
                if check is Check.ICMP and target == GATEWAY.id and state.problems:
                    continue
                made = state.shapes[target, check]
                dice = roll()
                failure, rtt_us, detail = made.failure, made.rtt_us, made.detail
                if failure is None and check in SINGLE and roll() < state.loss:
                    self.lost.append((line, target, kernel_s + slot.round_ms / 1000))
                    failure, rtt_us, detail = TIMEOUT, 0, None
                elif made.measures:
                    rate = state.bytes_per_s * (1 - NOISE * dice)
                    took_us = int(GOODPUT_BYTES * 1e6 / rate)
                    detail = ThroughputDetail(GOODPUT_BYTES, took_us, GOODPUT_BYTES + 16_384)
                yield Sample(
                    slot.slot_ms,
                    slot.slot_ms,
                    slot.round_ms,
                    line,
                    target,
                    check,
                    4,
                    failure,
                    int(rtt_us * (1 + NOISE * dice) / 10) * 10 or None,
                    made.timings_us,
                    made.address,
                    detail,
                    line == busy_line,
                )

    def _modems(self, round_ms: int, kernel_s: float) -> Iterator[Sample]:
        """Yield what every mobile line's modem says at a round's begin."""
        for line, state in self.at(kernel_s + round_ms / 1000).items():
            said = state.modem
            if said is None:
                continue
            if said.signal_dbm is not None:
                noise_db = int((2 * self._roll() - 1) * SIGNAL_NOISE_DB)
                said = msgspec.structs.replace(said, signal_dbm=said.signal_dbm + noise_db)
            yield Sample(
                round_ms, round_ms, round_ms, line, MODEM_TARGET, Check.MODEM, 0, detail=said
            )

    def _on(self, line: LinePlan, events: Sequence[Event]) -> list[Event]:
        return [
            event
            for event in events
            if event.operator in (None, line.operator) and event.kind in (None, line.kind)
        ]

    def _state(self, line: LinePlan, events: Sequence[Event], clock: Clock) -> LineState:
        mobile = line.kind is LineKind.MOBILE
        told = MOBILE_PROBLEMS if mobile else FIXED_PROBLEMS
        rates = [line.rate_kbit, *(event.options.rate_kbit for event in events
                                   if event.what is Knob.THROTTLE_ALL)]  # fmt: skip
        loss = max([0.0, *(event.options.loss or 0.0 for event in events)])
        return LineState(
            shapes={
                (target.id, check): self._shape(line, target, check, events)
                for target in self.targets
                for check in target.checks
            },
            loss=1 - (1 - LOSS) * (1 - loss) ** 2,
            bytes_per_s=min(rate for rate in rates if rate) * 125,
            rtt_s=2 * (line.delay_ms + self._country.international.delay_ms) / 1000,
            problems=tuple(code for event in events for code in told.get(event.what, ())),
            modem=_modem(line, events) if mobile else None,
            reaches_server=self._reaches_server(line, events),
            clock=clock,
        )

    def _shape(
        self, line: LinePlan, target: Target, check: Check, events: Sequence[Event]
    ) -> Shape:
        operator = self._country.operator_of(line)
        zone = self._country.zone()
        own = target.role is Role.GATEWAY or (check in (Check.DNS, Check.RANDOM_NAME)
                                              and target.role is not Role.RESOLVER)  # fmt: skip
        true = zone.get(target.host, target.host)
        if check is Check.DNS and target.query is not None:
            true = zone[target.query]
        fate, cause = self._fate(line, target, check, events, own=own)
        near_ms = 1.0 if target.role is Role.GATEWAY else line.delay_ms
        far_ms = self._country.international.delay_ms if not own and self._abroad(true) else 0
        neighbour = target.neighbour
        if neighbour and self._touches(line, neighbour, Check.TCP, events) is not None:
            neighbour = None
        asked = Asked(
            check=check,
            address=None if own else zone.get(target.host, target.host),
            true_address=true,
            rtt_us=int(2000 * (near_ms + far_ms)),
            pairs=target.pairs,
            login=f"login.{operator.name}.example",
            neighbour=neighbour,
        )
        if cause is not None:
            edge = [self._country.address_of(site) for site in cause.options.sites]
            forged = operator.portal if cause.what is Knob.PORTAL else operator.block_page
            asked = replace(asked, mode=cause.options.mode, forged=(edge or [forged])[0])
        return shape(asked, fate)

    def _fate(
        self, line: LinePlan, target: Target, check: Check, events: Sequence[Event], *, own: bool
    ) -> tuple[Fate, Event | None]:
        """Return how a check ends and by which event: the last of the table that concerns it."""
        found: tuple[Fate, Event | None] = (Fate.FINE, None)
        router = target.role is Role.GATEWAY and line.kind is LineKind.FIXED
        ordered = sorted(events, key=lambda event: _ORDER.get(event.what, -1))
        for event in ordered if not router else ():
            for effect in _effects(event):
                concerned = check in effect.checks and self._concerns(
                    effect.scope, event, target.host, self._endpoint(target, check, own=own)
                )
                if concerned:
                    found = effect.fate, event
        return found

    def _endpoint(self, target: Target, check: Check, *, own: bool) -> str | None:
        if own:
            return None
        if check is Check.CONTRAST and target.resolver is not None:
            return target.resolver.address
        return self._country.zone().get(target.host, target.host)

    def _concerns(self, scope: Scope, event: Event, name: str, address: str | None) -> bool:
        """Return whether an effect is about a name or address; None is the operator's own host."""
        sites = {self._country.address_of(site) for site in event.options.sites}
        match scope:
            case Scope.LINE:
                return True
            case Scope.ABROAD:
                return address is not None and self._abroad(address)
            case Scope.UNLISTED:
                return address is not None and address not in sites
            case Scope.SITES:
                return address in sites
            case Scope.NAMES:
                return any(
                    one in ("*", name) or name.endswith(f".{one}") for one in event.options.names
                )

    def _touches(
        self, line: LinePlan, address: str, check: Check, events: Sequence[Event]
    ) -> Event | None:
        """Return an event that silences a check of an address that has no name."""
        for event in events:
            for effect in _effects(event):
                silent = effect.fate in (Fate.SILENT, Fate.HANGING)
                if silent and check in effect.checks and self._concerns(
                    effect.scope, event, "", address
                ):  # fmt: skip
                    return event
        return None

    def _reaches_server(self, line: LinePlan, events: Sequence[Event]) -> bool:
        server = self._country.address_of("server")
        blocked = any(
            event.what is Knob.BROKER_BLOCKED
            and self._concerns(Scope.SITES, event, "", server)
            and BROKER_PORT in event.options.ports
            for event in events
        )
        away = any(event.what in SERVER_AWAY for event in events)
        hears = self._touches(line, server, Check.HTTP, events) is None
        return hears and not blocked and not away

    def _abroad(self, address: str) -> bool:
        return ip_address(address) in ip_network(self._country.abroad)


BROKER_PORT = 8883
_ORDER: dict[Knob | Fault, int] = {knob: number for number, knob in enumerate(EFFECTS)}


def _effects(event: Event) -> tuple[Effect, ...]:
    return EFFECTS[event.what] if isinstance(event.what, Knob) else FAULTS.get(event.what, ())


def _modem(line: LinePlan, events: Sequence[Event]) -> ModemDetail:
    facts = ModemDetail(
        sim=Sim.READY,
        registration=Registration.HOME,
        bearer=Bearer.UP,
        signal_dbm=SIGNAL_DBM,
        operator=NETWORK_CODES[line.operator],
        technology="lte",
    )
    for event in events:
        facts = msgspec.structs.replace(facts, **MODEM.get(event.what, {}))
    return facts
