"""Can the lines be measured: devices, routes, resolvers, modems?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from linewatch_agent.doctor.findings import Finding, note, ok, problem
from linewatch_agent.lines import LineIds
from linewatch_agent.plan.line import Line, Problem
from linewatch_core.modem_words import Bearer, Registration
from linewatch_core.records import LineKind

_ABSENT = "if it was taken away for good, nothing needs to be done"


def lines(found: Sequence[Line], machine: Sequence[Problem], ids: LineIds) -> Iterator[Finding]:
    """Say of each line whether it can be measured, and what is wrong with it or the machine."""
    usable = {line.kind for line in found if line.usable}
    for line in found:
        if not line.problems:
            families = " and ".join(f"IPv{family}" for family in line.families)
            yield ok("line", f"{line.id} ({line.device}): {families}")
        for each in line.problems:
            text = f"{line.id}: {each.text}"
            if line.kind is LineKind.FIXED and line.kind in usable and not line.usable:
                # Every Pi has a socket; whoever uses its Wi-Fi misses nothing.
                yield note("line", text, each.remedy)
            else:
                yield problem("line", text, each.remedy)
    for each in machine:
        yield problem("lines", each.text, each.remedy)
    for known in sorted(set(ids.known.values()) - {line.id for line in found}):
        yield note("line", f"{known} was here before and is not now", f"plug it in; {_ABSENT}")


def modems(found: Sequence[Line], said: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Say of each mobile line what its modem needs.

    Args:
        said: line id to what its modem says (modems/words.py).
    """
    for line in found:
        if line.kind is not LineKind.MOBILE:
            continue
        if line.id not in said:
            text = f"{line.id}: no modem is known to be its own"
            yield note("modem", text, "none, for a stick that is its own modem (HiLink)")
        else:
            yield _modem(line.id, said[line.id])


def _modem(line: str, said: Mapping[str, Any]) -> Finding:
    words = f"{line}: {said['words']}"
    if "present" not in said:
        return problem("modem", words, "unplug it and plug it in again")
    if not said["present"]:
        return problem("modem", words, "plug it in; try another socket, or a hub with power")
    if said.get("advice"):
        return problem("modem", words, said["advice"])
    if said["registration"] == Registration.DENIED:
        return problem("modem", words, "ask the operator of the SIM whether it is blocked or paid")
    if said["bearer"] != Bearer.UP:
        # In a shutdown that is the network's doing; the APN is what may be wrong at first.
        return note("modem", words, "if it never worked: check the APN in linewatch.toml")
    return ok("modem", words)
