"""The country in network namespaces: made, changed by knobs, and taken away.

`with Country() as country:` gives a probe with three lines, everything behind
them, and no way out. Needs root. What it makes carries its process in its name;
what a killed lab left is removed at the next start (leftovers.py).
"""

import json
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec

from linewatch_core.records import LineKind
from tests.lab import wiring
from tests.lab.certificates import TRUST_FILE
from tests.lab.disk import unmount_below
from tests.lab.ip import await_cable, batch, demand_root, make_namespaces
from tests.lab.knobs import EVERYWHERE, MOBILE_ONLY, Knob, Options, option_fault
from tests.lab.leftovers import new_marker, remove_netns, sweep
from tests.lab.plan import CountryPlan, LinePlan, LinkPlan, load_country
from tests.lab.relay import LinkQuestion
from tests.lab.worker import Worker
from tests.support.netns import Netns

_DEVICE_KNOBS = (Knob.LINK_DOWN, Knob.BEARER_REFUSED)


@dataclass(frozen=True, slots=True)
class _Setting:
    knob: Knob
    label: str
    options: Options


class Country:
    """A running lab. Attributes: `plan`, `folder` (certificates), `swept` (leftovers removed)."""

    def __init__(self, *, seed: int | None = None, delays: float = 1.0, rates: float = 1.0) -> None:
        """Prepare a lab.

        Args:
            seed: the dice's of the relay, printed by who wants a run again.
            delays, rates: what every link's delay and rate are multiplied by.
        Raises:
            RuntimeError: not root, or a tool is missing; says what to do.
        """
        demand_root()
        self.plan: CountryPlan = load_country().nearer(delays=delays, rates=rates)
        self.seed = secrets.randbits(32) if seed is None else seed
        self._marker = new_marker()
        self._settings: dict[str, list[_Setting]] = {line.id: [] for line in self.plan.line}
        self._silent: dict[str, frozenset[str]] = {}
        self._unplugged: set[str] = set()
        self._devices: dict[str, list[str]] = {}
        self._workers: list[Worker] = []

    def __enter__(self) -> "Country":
        self.swept = sweep()
        self.folder = Path(tempfile.gettempdir(), self._marker)
        self.folder.mkdir(mode=0o755)
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take all of it away; a second time does nothing."""
        for worker in reversed(self._workers):
            worker.stop()
        self._workers.clear()
        for place in wiring.places(self.plan):
            remove_netns(self._name(place))
        unmount_below(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def netns(self, place: str) -> Netns:
        """Return a namespace by its place: `probe`, `server`, `provider`, an operator's name …"""
        return Netns(self._name(place))

    @property
    def trust(self) -> dict[str, str]:
        """The environment that makes a program trust the lab's two public authorities."""
        return {"SSL_CERT_FILE": str(self.folder / TRUST_FILE)}

    def worker(self, module: str, *arguments: str, place: str) -> Worker:
        """Start `python -m module` in a place, trusting the lab; it ends with the lab."""
        worker = Worker(module, *arguments, netns=self._name(place), env=self.trust)
        self._workers.append(worker)
        return worker

    def apply(
        self,
        knob: Knob,
        *,
        operator: str | None = None,
        kind: LineKind | None = None,
        options: Options | None = None,
        label: str = "",
    ) -> None:
        """Set a knob on the lines of an operator and a kind (None: of any), from now on.

        The same knob and label again replaces its options; other labels stand beside it.

        Raises:
            ValueError: no such line, wrong options, or no knob for that kind of line.
        """
        options = options or Options()
        lines = self._lines(knob, operator, kind)
        if fault := option_fault(knob, options):
            raise ValueError(f"cannot apply {knob}: {fault}")
        addresses = frozenset(map(self.plan.address_of, options.sites))
        if knob in EVERYWHERE:
            self._set_silent(self._silent | {label: addresses})
            return
        for line in lines:
            others = [s for s in self._settings[line.id] if (s.knob, s.label) != (knob, label)]
            self._settings[line.id] = [*others, _Setting(knob, label, options)]
            self._set_line(line)

    def clear(
        self,
        knob: Knob | None = None,
        *,
        operator: str | None = None,
        kind: LineKind | None = None,
        label: str | None = None,
    ) -> None:
        """Take a knob back (None: every knob), under one label or (None) all of them."""
        if knob is None or knob in EVERYWHERE:
            kept_silent = {} if label is None else {**self._silent}
            kept_silent.pop(label or "", None)
            self._set_silent(kept_silent)
        for line in self.plan.lines_of(operator, kind):
            kept = [
                each
                for each in self._settings[line.id]
                if knob not in (None, each.knob) or label not in (None, each.label)
            ]
            if kept != self._settings[line.id]:
                self._settings[line.id] = kept
                self._set_line(line)

    def settle(self) -> None:
        """Wait until the probe's kernel knows of every cable what the knobs made of it."""
        for line in self.plan.lines_of(kind=LineKind.FIXED):
            down = any(each.knob is Knob.LINK_DOWN for each in self._settings[line.id])
            await_cable(self._name("probe"), line.device, up=not down)

    def plug(self, line: LinePlan, *, there: bool) -> None:
        """Take a mobile line's device away from the probe, as if pulled out, or give it back."""
        away = f"gone-{line.device}"
        names = (away, line.device) if there else (line.device, away)
        rename = [f"link set {names[0]} down", f"link set {names[0]} name {names[1]}"]
        batch(rename, netns=self._name("probe"))
        if there:
            self._unplugged.discard(line.id)
            self._devices.pop(line.id, None)
            self._set_line(line)
        else:
            self._unplugged.add(line.id)

    def _lines(
        self, knob: Knob, operator: str | None, kind: LineKind | None
    ) -> tuple[LinePlan, ...]:
        lines = self.plan.lines_of(operator, kind)
        if not lines:
            raise ValueError(f"cannot apply {knob}: no line of operator {operator}, kind {kind}")
        if knob in EVERYWHERE and (operator or kind):
            raise ValueError(f"cannot apply {knob}: it is for all lines; give no operator or kind")
        if knob in MOBILE_ONLY and any(line.kind is not LineKind.MOBILE for line in lines):
            raise ValueError(f"cannot apply {knob}: a fixed line has no bearer; say kind mobile")
        return lines

    def _build(self) -> None:
        names = {place: self._name(place) for place in wiring.places(self.plan)}
        make_namespaces(self.plan, names)
        ends = {
            link: [[names[place], device] for place, device in pair]
            for link, pair in wiring.tun_pairs(self.plan).items()
        }
        self._relay = self.worker(
            "tests.lab.relay", str(self.seed), json.dumps(ends), place="gateway"
        )
        self._relay.await_ready()
        for place, commands in wiring.setup(self.plan).items():
            batch(commands, netns=names[place])
        sites = json.dumps([self._marker, str(self.folder)])
        self.worker("tests.lab.sites", sites, place="gateway").await_ready()
        self._ask_relay(wiring.INTERNATIONAL, self.plan.international, ())
        for line in self.plan.line:
            self._set_line(line)

    def _set_line(self, line: LinePlan) -> None:
        """Make the relay and the line's device what the line's knobs say."""
        settings = self._settings[line.id]
        self._ask_relay(line.id, line, settings)
        knobs = {each.knob for each in settings}
        down = Knob.LINK_DOWN in knobs
        if line.kind is LineKind.FIXED:
            self._set_device(line, [f"link set lan0 {'down' if down else 'up'}"], "home")
            return
        if line.id in self._unplugged:
            return  # its knobs wait until the device is back
        commands = [f"link set {line.device} {'down' if down else 'up'}"]
        if Knob.BEARER_REFUSED in knobs:
            commands.append(f"address flush dev {line.device}")
        elif not down:
            commands += wiring.mobile_up(self.plan, line)
        self._set_device(line, commands, "probe")

    def _set_device(self, line: LinePlan, commands: list[str], place: str) -> None:
        """Run commands, unless they made the device what it is: that would only take its time."""
        if self._devices.get(line.id) != commands:
            batch(commands, netns=self._name(place))
            self._devices[line.id] = commands

    def _ask_relay(self, link: str, plan: LinkPlan, settings: Sequence[_Setting]) -> None:
        rules = [
            self.plan.rule(each.knob, each.options, line)
            for line in self.plan.line
            if line.id == link
            for each in settings
            if each.knob not in _DEVICE_KNOBS
        ]
        question = LinkQuestion(link, rules, plan.delay_ms, plan.loss, plan.rate_kbit)
        self._relay.ask(json.loads(msgspec.json.encode(question)))

    def _set_silent(self, silent: dict[str, frozenset[str]]) -> None:
        """Take away the addresses of sites that shall be down, and give back the others'."""
        before = frozenset().union(*self._silent.values())
        after = frozenset().union(*silent.values())
        self._silent = silent
        for site in self.plan.site:
            if site.address in before ^ after:
                word = "del" if site.address in after else "add"
                batch([f"address {word} {site.address}/32 dev lo"], netns=self._name(site.place))

    def _name(self, place: str) -> str:
        return f"{self._marker}-{place}"
