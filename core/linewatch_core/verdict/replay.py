"""Decides again: from the records of a probe's boots to the transitions that they show.

What the server and a verifier run. Equal to what the probe's own machine told,
if the records are whole.
"""

from collections.abc import Iterable, Iterator

from linewatch_core.judging import VerdictSettings
from linewatch_core.records import Record, Transition
from linewatch_core.verdict.machine import Machine
from linewatch_core.verdict.rounds import RoundBuilder
from linewatch_core.verdict.settings import DEFAULTS


def replay(
    boots: Iterable[tuple[str, Iterable[Record]]],
    *,
    settings: VerdictSettings = DEFAULTS,
    kept: bool = False,
) -> Iterator[tuple[str, Transition]]:
    """Yield (boot, transition) in the order in which they are decided.

    Args:
        boots: boot ids in their order, each with its records of all streams in any order;
            transitions among them are ignored.
        settings: those that held where the records tell none.
        kept: the agent kept its machine's memory over restarts; else each run of it
            began with a fresh machine.
    """
    machine, run = Machine(settings), None
    for boot, records in boots:
        builder = RoundBuilder(boot)
        _fill(builder, records)
        for one in builder.take_complete():
            if not kept and run != (boot, one.run_ms):
                machine, run = Machine(settings), (boot, one.run_ms)
            for told in machine.handle(one):
                yield boot, told


def _fill(builder: RoundBuilder, records: Iterable[Record]) -> None:
    for record in records:
        builder.add(record)
