"""The machine: rounds in, transitions out. One per probe, since lines are held against each other.

Knows no clock and no store: a round is a value made of records, so whoever has
the records gets the same transitions. Bounded: what it remembers is a Memory.
Invariants: a fresh machine says `unknown`; `ok` is never said without evidence;
nothing changes faster than its hold, save by a hole or a new boot.
"""

from collections.abc import Collection

from linewatch_core.judging import VerdictSettings
from linewatch_core.records import GapReason, Transition
from linewatch_core.verdict import memory as mem
from linewatch_core.verdict.dating import Span, change_of_line, transition
from linewatch_core.verdict.inputs import Round, Seen
from linewatch_core.verdict.line_conditions import View, portal_in_doubt
from linewatch_core.verdict.memory import LineMemory, Memory, Track
from linewatch_core.verdict.rules import HOLE_RULE, POWER_RULE, LineRule, judge_line
from linewatch_core.verdict.settings import DEFAULTS
from linewatch_core.verdict.settle import Change, Said, reset, step
from linewatch_core.verdict.states import LineVerdict, TargetVerdict
from linewatch_core.verdict.summary import deciding, keep_normal, line_evidence, take_in
from linewatch_core.verdict.target_tracks import judge_targets

LINES_MAX = 64


class Machine:
    """Turns the rounds of one probe into transitions."""

    def __init__(self, settings: VerdictSettings = DEFAULTS) -> None:
        """Start with nothing known; `settings` hold until records tell others."""
        self._settings = settings
        self._memory = Memory()

    @classmethod
    def restored(cls, exported: bytes, settings: VerdictSettings = DEFAULTS) -> "Machine":
        """Return a machine that goes on where another one was exported.

        Raises:
            MalformedError: the bytes are no export; start a fresh one instead.
        """
        machine = cls(settings)
        machine._memory = mem.unpack(exported)
        return machine

    def export(self) -> bytes:
        """Return all that it remembers, to be kept over a restart of the agent."""
        return mem.pack(self._memory)

    def verdicts(self) -> dict[str, LineVerdict]:
        """Return the verdict in force for every line."""
        lines = self._memory.lines.items()
        return {name: LineVerdict(line.track.verdict) for name, line in lines}

    def target_verdicts(self, line: str) -> dict[str, TargetVerdict]:
        """Return the verdicts in force for the targets of one line; none for an unknown line."""
        found = self._memory.lines.get(line, LineMemory())
        return {name: TargetVerdict(one.track.verdict) for name, one in found.targets.items()}

    def wants_tight_schedule(self, now_ms: int) -> bool:
        """Return whether a change is suspected, so that dense rounds would date it.

        `now_ms` is of the same boot as the rounds. Asks for two minutes; the same
        suspicion of the same line asks again only after ten.
        """
        return any(now_ms < line.tight_until_ms for line in self._memory.lines.values())

    def handle(self, now: Round) -> list[Transition]:
        """Take a complete round; return what changed, lines by name, then their targets.

        A round that is not after the last one of its boot is ignored.
        """
        memory = self._memory
        self._settings = now.settings or self._settings
        same_boot = memory.boot == now.boot and memory.last_round_ms is not None
        elapsed_ms = now.round_ms - (memory.last_round_ms or 0) if same_boot else 0
        if same_boot and elapsed_ms <= 0:
            return []
        news = self._after_hole(now, elapsed_ms) if same_boot else self._new_boot(now)
        samples = sorted(now.samples, key=lambda one: (one.sample.mono_ms, one.seq))
        memory.boot, memory.last_round_ms = now.boot, now.round_ms
        memory.last_sample_ms = max([now.round_ms, *(one.sample.mono_ms for one in samples)])
        by_line: dict[str, list[Seen]] = {name: [] for name in sorted(now.lines)[:LINES_MAX]}
        for one in samples:
            if one.sample.line in by_line:
                by_line[one.sample.line].append(one)
        return news + self._judge(now, by_line, elapsed_ms)

    def _judge(
        self, now: Round, by_line: dict[str, list[Seen]], elapsed_ms: int
    ) -> list[Transition]:
        lines = self._memory.lines
        evidence = {}
        for name, seen in by_line.items():
            line = lines.setdefault(name, LineMemory())
            take_in(line, seen, now, self._settings)
            evidence[name] = line_evidence(name, now, seen, line, self._settings)
        news = self._forget_absent(now, by_line)
        for name, own in evidence.items():
            others = [one for other, one in evidence.items() if other != name]
            news += self._judge_line(now, View(own, others), by_line, elapsed_ms)
        return news

    def _judge_line(
        self, now: Round, view: View, by_line: dict[str, list[Seen]], elapsed_ms: int
    ) -> list[Transition]:
        """Take a round's word on a line and then on its targets."""
        name = view.own.line
        line = self._memory.lines[name]
        news = []
        if portal_in_doubt(view):
            self._suspect(line, "in doubt", now.round_ms)
        else:
            rule = judge_line(view)
            change = self._step(line, now, view, rule)
            if change is not None:
                others = [self._memory.lines[one.line] for one in view.others]
                span = change_of_line(change, line, others, now.roles)
                news.append(self._told(name, None, change, span))
            if rule.verdict is LineVerdict.OK and line.track.verdict == rule.verdict:
                keep_normal(line, by_line[name], now, elapsed_ms, self._settings)
        for target, change, span in judge_targets(line, now, view, by_line, self._settings):
            news.append(self._told(name, target, change, span))
        return news

    def _forget_absent(self, now: Round, by_line: dict[str, list[Seen]]) -> list[Transition]:
        """Claim nothing any more of lines that are not the probe's now.

        What was normal on them is kept, since a modem may come back.
        """
        lines = self._memory.lines
        gone = [name for name in lines if name not in by_line]
        news = self._start_over(now, HOLE_RULE, LineVerdict.UNKNOWN, only=gone) if gone else []
        for name in gone[: max(0, len(lines) - LINES_MAX)]:
            del lines[name]
        return news

    def _step(self, line: LineMemory, now: Round, view: View, rule: LineRule) -> Change | None:
        """Take a round's word on a line; suspect a change where it contradicts what is in force."""
        current = LineVerdict(line.track.verdict)
        own = view.own
        if current not in (LineVerdict.UNKNOWN, LineVerdict.POWER, rule.verdict):
            self._suspect(line, f"{current.value}>{rule.verdict.value}", now.round_ms)
        answering = own.domestic.answering | own.international.answering
        said = Said(
            verdict=rule.verdict,
            rule=rule.id,
            rule_version=rule.version,
            round_ms=now.round_ms,
            until_ms=own.until_ms,
            rests_ms=min([now.round_ms, *(rate.mono_ms for rate in line.rates.values())]),
            seqs=deciding(rule.verdict, own),
            hosts=answering if rule.verdict is LineVerdict.ALLOW_LIST else None,
        )
        return step(line.track, said, current, self._settings)

    def _suspect(self, line: LineMemory, what: str, now_ms: int) -> None:
        began_ms = line.suspected.get(what)
        if began_ms is None or now_ms - began_ms >= self._settings.tight_again_ms:
            line.suspected[what] = now_ms
            line.tight_until_ms = now_ms + self._settings.tight_ms

    def _after_hole(self, now: Round, elapsed_ms: int) -> list[Transition]:
        """Claim nothing any more if too long went by without a round."""
        settings = self._settings
        if elapsed_ms <= max(settings.hole_ms, settings.hole_periods * now.period_ms):
            return []
        return self._start_over(now, HOLE_RULE, LineVerdict.UNKNOWN)

    def _new_boot(self, now: Round) -> list[Transition]:
        """Forget what was on another boot's clock, and say what the records say ended it."""
        for line in self._memory.lines.values():
            line.rates, line.paces, line.sights, line.suspected = {}, {}, {}, {}
            line.tight_until_ms, line.gateway_misses = 0, None
        if now.gap is not GapReason.REBOOTED:
            return self._start_over(now, HOLE_RULE, LineVerdict.UNKNOWN)
        for name in sorted(now.lines)[:LINES_MAX]:
            self._memory.lines.setdefault(name, LineMemory())
        return self._start_over(now, POWER_RULE, LineVerdict.POWER)

    def _start_over(
        self,
        now: Round,
        rule: tuple[str, int],
        after: LineVerdict,
        *,
        only: Collection[str] | None = None,
    ) -> list[Transition]:
        """Put every line (or `only` these) in a state that claims nothing of the network.

        It began between the last round (or this boot's begin) and this one.
        """
        news = []
        for name, line in sorted(self._memory.lines.items()):
            if only is not None and name not in only:
                continue
            line.series, line.paces = {}, {}
            tracks: list[tuple[str | None, Track, str]] = [(None, line.track, after.value)]
            tracks += [(t, one.track, "unknown") for t, one in sorted(line.targets.items())]
            for target, track, verdict in tracks:
                change = Change(track.verdict, verdict, *rule, None, 0, now.round_ms, ())
                since_ms = now.round_ms if track.last_ms is None else track.last_ms
                same_boot = self._memory.boot == now.boot
                span = Span(min(since_ms if same_boot else 0, now.round_ms), now.round_ms)
                reset(track, verdict)
                if change.before != change.after:
                    news.append(transition(name, target, change, span, now.round_ms))
            for one in line.targets.values():
                one.slow = {}
        return news

    def _told(self, line: str, target: str | None, change: Change, span: Span) -> Transition:
        return transition(line, target, change, span, self._memory.last_sample_ms)
