"""Feeds committed records to the verdict machine, and hands its transitions on.

The machine sees a record only once it is on the disk, with its number: so what it
decides can be decided again by whoever has the records. Its memory stays in RAM: a
seized card must not tell what a line did. After a restart every line is `unknown`.
"""

from collections.abc import Callable, Sequence

import structlog

from linewatch_agent.plan.truth import TruthBook
from linewatch_agent.plan.truth_proofs import proofs_of
from linewatch_core.records import Record, Transition
from linewatch_core.verdict import LineVerdict, Machine, Round, RoundBuilder, TargetVerdict

log = structlog.get_logger()


class Judge:
    """The verdicts of this probe's lines, as of the last complete round."""

    def __init__(
        self,
        boot: str,
        on_transition: Callable[[Transition], None],
        *,
        book: TruthBook | None = None,
    ) -> None:
        """Know nothing yet; `book` learns from the rounds that are judged."""
        self._builder = RoundBuilder(boot)
        self._machine = Machine()
        self._on_transition = on_transition
        self._book = book
        self._since_ms: dict[str, int] = {}

    def committed(self, records: Sequence[Record], safe_ms: int) -> None:
        """Take records that are on the disk.

        Args:
            safe_ms: every check that began before it is among the records taken so far.
        """
        for record in records:
            self._builder.add(record)
        for one in self._builder.take_complete(safe_ms):
            for told in self._machine.handle(one):
                log.info(
                    "verdict_changed",
                    line=told.line,
                    target=told.target,
                    before=told.before,
                    after=told.after,
                )
                if told.target is None:
                    self._since_ms[told.line] = told.latest_ms
                self._on_transition(told)
            if self._book is not None:
                self._learn(self._book, one)

    def _learn(self, book: TruthBook, now: Round) -> None:
        lines = self.verdicts()
        targets = {line: self.target_verdicts(line) for line in lines}
        ok = LineVerdict.OK in lines.values()
        book.learn(now.round_ms, ok=ok, proofs=proofs_of(now, lines, targets))

    def wants_tight_schedule(self, now_ms: int) -> bool:
        """Return whether a change is suspected, so that dense rounds would date it."""
        return self._machine.wants_tight_schedule(now_ms)

    def verdicts(self) -> dict[str, LineVerdict]:
        """Return the verdict in force of each line."""
        return self._machine.verdicts()

    def target_verdicts(self, line: str) -> dict[str, TargetVerdict]:
        """Return the verdicts in force of the targets of a line."""
        return self._machine.target_verdicts(line)

    def since_ms(self, line: str) -> int | None:
        """Return from when on a line's verdict holds for certain, in ms of this boot.

        None: since before the agent started, or there is none yet.
        """
        return self._since_ms.get(line)
