"""What the server of a lab says, read as its pages read it: never asked of the agent."""

from collections.abc import Iterable
from pathlib import Path

from linewatch_core.ids import ProbeId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import GapReason, Stream
from linewatch_core.timebase import Interval
from linewatch_server.fleet.keys import recipient_secrets
from linewatch_server.index.queries import Queries
from linewatch_server.model.views import TransitionView
from linewatch_server.settings import Layout
from tests.lab.tally import Contents, contents_of
from tests.lab.truth import Hole, Told

_ALL_TIME = (0, 2**53)


class Evidence:
    """Reads a server's directory; `zero_ms` is the UTC of the moment 0, `speed` the lab's."""

    def __init__(self, server: Path, probe: str, *, zero_ms: int, speed: float) -> None:
        self._server = server
        self._secrets = recipient_secrets(Layout(server))
        self._queries = Queries(server, recipient_secrets=self._secrets)
        self._probe = ProbeId(probe)
        self._zero_ms = zero_ms
        self._speed = speed

    def stored(self) -> dict[Stream, SeqSet]:
        """Return the numbers of the records that the server has."""
        found = {stream: SeqSet() for stream in Stream}
        for view in self._queries.fleet():
            for stream in view.streams if view.probe == self._probe else ():
                for first, last in stream.ranges:
                    found[stream.stream].add(first, last)
        return found

    def told(self, contents: Contents | None = None) -> list[Told]:
        """Return the transitions, in played seconds; with `contents` also when each was decided.

        A transition without any bound in UTC is infinitely early, and late.
        """
        return [
            Told(
                line=one.line,
                target=one.target,
                before=one.before,
                after=one.after,
                rule=one.rule,
                earliest_s=self._played_s(one.earliest, float("-inf")),
                latest_s=self._played_s(one.latest, float("inf")),
                decided_s=None if contents is None else self._decided_s(one, contents),
            )
            for one in self._transitions()
        ]

    def rounds_s(self, contents: Contents) -> list[float]:
        """Return when rounds began, in played seconds, of every boot that told anything."""
        zeros = {}
        for one in self._transitions():
            boot, record = contents.transitions[one.seq]
            zeros[boot] = self._decided_s(one, contents) - record.mono_ms / 1000 * self._speed
        return sorted(
            zero_s + round_ms / 1000 * self._speed
            for boot, zero_s in zeros.items()
            for round_ms in contents.rounds_ms.get(boot, ())
        )

    def _transitions(self) -> Iterable[TransitionView]:
        return self._queries.events(*_ALL_TIME, probe=self._probe).transitions

    def _decided_s(self, one: TransitionView, contents: Contents) -> float:
        """Return when a transition was decided: the same clock placed its latest moment."""
        _, record = contents.transitions[one.seq]
        since_s = (record.mono_ms - record.latest_ms) / 1000 * self._speed
        return self._played_s(one.latest, float("inf")) + since_s

    def holes(self) -> list[Hole]:
        """Return the stretches for which the probe says that it had no power."""
        return [
            Hole(self._played_s(gap.begins, float("-inf")), self._played_s(gap.ends, float("inf")))
            for gap in self._queries.events(*_ALL_TIME, probe=self._probe).gaps
            if gap.reason is GapReason.REBOOTED
        ]

    def contents(self) -> Contents:
        """Return what is in the archive, by opening all of it."""
        return contents_of(self._server, self._secrets)

    def _played_s(self, at: Interval, unknown: float) -> float:
        """Return the middle of what the clocks allow: in life their error is no part of a round."""
        middle_ms = at.middle_ms
        return unknown if middle_ms is None else (middle_ms - self._zero_ms) / 1000 * self._speed
