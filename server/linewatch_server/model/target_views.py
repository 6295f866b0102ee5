"""What each check of each target gave, from tallies, whatever those were counted from. Pure."""

from collections.abc import Container, Mapping, Sequence

from linewatch_core.records import Role
from linewatch_server.model.rollup import Tally, merge, rtt_stats
from linewatch_server.model.views import TargetView


def target_views(
    parts: Mapping[tuple[str, str], Sequence[Tally]],
    roles: Mapping[str, Role | None],
    uncertain: Container[tuple[str, str]],
) -> tuple[TargetView, ...]:
    """Return a view for each (target, check), in that order.

    Args:
        parts: the tallies of each (target, check).
        roles: of the targets, as far as they are known.
        uncertain: those of which some checks are not placed surely in time.
    """
    views = []
    for (target, check), tallies in sorted(parts.items()):
        whole = merge(tallies)
        views.append(
            TargetView(
                target=target,
                role=roles.get(target),
                check=check,
                sent=whole.sent,
                answered=whole.answered,
                failures=tuple(sorted(whole.failures, key=lambda f: (-f[1], f[0]))),
                rtt=rtt_stats([whole]),
                uncertain=(target, check) in uncertain,
            )
        )
    return tuple(views)
