"""Turn a scenario's knobs at their moments in the lab.

`steps` is pure: which knob turns when. `turn` does one step. Faults (power,
clock, broker …) are for whoever runs the agent and the server: they come out
of `steps` like knobs do, and `turn` refuses them.
"""

from dataclasses import dataclass

from tests.lab.country import Country
from tests.lab.knobs import Knob
from tests.lab.lab_time import LabTime
from tests.lab.scenario import Event, Scenario


@dataclass(frozen=True, slots=True)
class Step:
    """An event begins, or ends, at a moment of the lab and of the scenario."""

    lab_s: float
    scenario_s: float
    event: Event
    begins: bool


def steps(scenario: Scenario, time: LabTime) -> tuple[Step, ...]:
    """Return what begins and ends when; at one moment, what ends comes first."""
    found = [
        Step(time.to_lab(at_s), at_s, event, begins)
        for event in scenario.events
        for at_s, begins in ((event.begins_s, True), (event.ends_s, False))
        if begins or at_s < scenario.length_s
    ]
    return tuple(sorted(found, key=lambda step: (step.scenario_s, step.begins)))


def turn(country: Country, step: Step) -> None:
    """Turn a knob on or back.

    Raises:
        ValueError: the step is a fault, which is not the country's.
    """
    event = step.event
    if not isinstance(event.what, Knob):
        raise ValueError(f"cannot turn {event.what}: it is a fault, which the runner makes")
    if not step.begins:
        country.clear(event.what, operator=event.operator, kind=event.kind, label=event.label)
        return
    country.apply(
        event.what,
        operator=event.operator,
        kind=event.kind,
        options=event.options,
        label=event.label,
    )
