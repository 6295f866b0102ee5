"""What was played when: a scenario's moments on the clock of one run.

Pure, but for what it is told. The axis is *played seconds*: seconds since the run began
times the lab's speed, so that a round is a period and what was cut out has no length.
On it an error of a lab second is one of 30 real ones. A change's moment is when its knob
had turned, not when it should have; starting a program takes its own time, which is
no scenario's, so the plan waits for it.
"""

from bisect import bisect_right
from dataclasses import replace

from tests.lab.lab_time import LabTime
from tests.lab.scenario import Scenario, Truth


class Timeline:
    """Moments of one run; `lab_s` are the plan's seconds, `run_s` seconds since it began."""

    def __init__(self, plan: LabTime) -> None:
        self._plan = plan
        self._pauses: list[tuple[float, float]] = []
        self._happened_s: dict[float, float] = {}

    @property
    def length_s(self) -> float:
        """How long the run takes, as far as is known now, in seconds."""
        return self.run_s(self._plan.length_s)

    def pause(self, run_s: float, took_s: float) -> None:
        """Let the plan wait: something at `run_s` took this long, and is now over."""
        self._pauses.append((self.lab_s(run_s), took_s))

    def happened(self, scenario_s: float, run_s: float) -> None:
        """Note when a change of the scenario was made; the last one of a moment counts."""
        self._happened_s[scenario_s] = run_s

    def lab_s(self, run_s: float) -> float:
        """Return how far the plan is."""
        left_s = run_s
        for at_s, took_s in self._pauses:
            if left_s > at_s:
                left_s = max(at_s, left_s - took_s)
        return left_s

    def run_s(self, lab_s: float) -> float:
        """Return when the plan is there."""
        return lab_s + sum(took_s for at_s, took_s in self._pauses if at_s < lab_s)

    def scenario_now_s(self, run_s: float) -> float:
        """Return which moment of the scenario is being played."""
        return self._plan.to_scenario(self.lab_s(run_s))

    def played_s(self, scenario_s: float) -> float:
        """Return when a moment of the scenario was, in played seconds."""
        run_s = self._happened_s.get(scenario_s)
        if run_s is None:
            run_s = self.run_s(self._plan.to_lab(scenario_s))
        return run_s * self._plan.speed

    def scenario_s(self, played_s: float) -> float:
        """Return which moment of the scenario played seconds stand for.

        Changes map to themselves; others as far after the change before them.
        """
        known = sorted((self.played_s(at_s), at_s) for at_s in self._happened_s)
        index = bisect_right([one[0] for one in known], played_s) - 1
        if index < 0:
            return self.scenario_now_s(played_s / self._plan.speed)
        at_played_s, at_s = known[index]
        return at_s + played_s - at_played_s

    def played(self, scenario: Scenario, *, modems: bool) -> Scenario:
        """Return the scenario in played seconds, with what can be known with or without modems."""

        def placed(truth: Truth) -> Truth:
            return replace(
                truth,
                begins_s=self.played_s(truth.begins_s),
                ends_s=self.played_s(truth.ends_s),
                state=truth.state if modems else truth.without_modem,
            )

        events = (
            replace(e, begins_s=self.played_s(e.begins_s), ends_s=self.played_s(e.ends_s))
            for e in scenario.events
        )
        return replace(
            scenario,
            length_s=self.played_s(scenario.length_s),
            events=tuple(events),
            truth=tuple(placed(truth) for truth in scenario.truth),
        )
