"""Which anchors to trace when a line's verdict changed: where on the way it ends.

Pure. A path is worth most beside a change, so it is measured then and only then; a line
that flaps is held to a few an hour. Source: docs/verdicts.md, "Traces".
"""

from collections.abc import Collection, Sequence

from linewatch_agent.plan.target_words import address_version
from linewatch_core.records import Role
from linewatch_core.targets import Target

TRACES_AN_HOUR = 6
HOUR_MS = 3_600_000
TRACED_ROLES = (Role.DOMESTIC, Role.INTERNATIONAL)


class Tracing:
    """Picks the anchors, and counts what each line traced in the last hour."""

    def __init__(self, targets: Sequence[Target]) -> None:
        """Take the configured targets; of each role the first with an address goes first."""
        self._anchors = {
            role: sorted(
                (target for target in targets if target.role is role),
                key=lambda target: address_version(target.host) is None,
            )
            for role in TRACED_ROLES
        }
        self._began_ms: dict[str, list[int]] = {}

    def after_change(self, line: str, families: Collection[int], now_ms: int) -> list[Target]:
        """Return whom to trace on a line whose verdict just changed: at most one of each role.

        Args:
            families: those that the line has.
        """
        recent = [at_ms for at_ms in self._began_ms.get(line, ()) if now_ms - at_ms < HOUR_MS]
        chosen = []
        for anchors in self._anchors.values():
            reachable = (target for target in anchors if set(target.families) & set(families))
            first = next(reachable, None)
            if first is not None and len(recent) < TRACES_AN_HOUR:
                recent.append(now_ms)
                chosen.append(first)
        self._began_ms[line] = recent
        return chosen
