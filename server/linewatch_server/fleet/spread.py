"""Over how long a fleet spreads its return, when all of it lost the broker at once.

Every end of a shutdown is a herd: without this, a thousand probes are back within two
seconds, and the broker falls again. Source: docs/wire-format.md, "Getting through".
"""

from linewatch_server.clock import ServerClock
from linewatch_server.fleet.registry import Registry

S_PER_PROBE = 0.3
"""So 3.3 probes a second on average, whatever the fleet's size; the peak is some 11."""
STEP_S = 5
"""Probes write a new value down, so it must not change with every enrolment."""
SPREAD_S = 300
COUNT_EVERY_S = 60.0


def spread_for(probes: int) -> int:
    """Return the spread in seconds for a fleet of so many probes; at most five minutes."""
    return min(SPREAD_S, int(probes * S_PER_PROBE) // STEP_S * STEP_S)


class FleetSpread:
    """The present spread; counts the fleet once a minute at most."""

    def __init__(self, registry: Registry, clock: ServerClock, *, fixed_s: int | None) -> None:
        """Take what the settings say; None: by the size of the fleet."""
        self._registry = registry
        self._clock = clock
        self._fixed_s = fixed_s
        self._counted_s: float | None = None
        self._spread_s = 0

    def __call__(self) -> int:
        """Return the spread in seconds."""
        if self._fixed_s is not None:
            return self._fixed_s
        now_s = self._clock.mono_s()
        if self._counted_s is None or now_s - self._counted_s >= COUNT_EVERY_S:
            self._counted_s = now_s
            self._spread_s = spread_for(self._registry.live_count())
        return self._spread_s
