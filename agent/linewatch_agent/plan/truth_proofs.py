"""What a judged round proves of where targets are, for the cached truth (truth.py).

Pure. Only pages over verified TLS count (also those of an alternation), on lines that are
`ok`; where the round, or what is in force, says that a target is tampered with, its proof
is marked as not trusted.
"""

from collections.abc import Iterator, Mapping

from linewatch_agent.plan.truth import Proof
from linewatch_core.verdict import LineVerdict, Round, TargetVerdict
from linewatch_core.verdict.target_evidence import foreign_issuers, network_of, verified_page


def proofs_of(
    now: Round,
    lines: Mapping[str, LineVerdict],
    targets: Mapping[str, Mapping[str, TargetVerdict]],
) -> Iterator[Proof]:
    """Yield what a round proves.

    Args:
        lines: the verdicts in force after it.
        targets: those of the targets, by line.
    """
    for line, verdict in lines.items():
        if verdict is not LineVerdict.OK:
            continue
        mine = [one for one in now.samples if one.sample.line == line]
        foreign = foreign_issuers(mine, now.truth)
        for one in mine:
            sample = one.sample
            page = verified_page(sample)
            if page is None or sample.address is None:
                continue
            judged = targets.get(line, {}).get(sample.target, TargetVerdict.OK)
            yield Proof(
                sample.target,
                network_of(sample.address),
                page.issuer_sha256,
                trusted=judged is TargetVerdict.OK and sample.target not in foreign,
            )
