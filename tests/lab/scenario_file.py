"""Read a scenario's TOML file, or say in one line what is wrong with it.

Pure: text in, values out. Times in a file are UTC. Where a file says nothing of
a line, the line is `ok`. README.md tells how to write one.
"""

from datetime import UTC, datetime
from pathlib import Path

from linewatch_agent.plan.toml_errors import ConfigError, Source, decode_toml
from linewatch_core.records import LineKind
from linewatch_core.verdict.states import LineVerdict, TargetVerdict
from tests.lab.knobs import EVERYWHERE, MOBILE_ONLY, Options, option_fault
from tests.lab.plan import CountryPlan
from tests.lab.scenario import Event, Scenario, Truth
from tests.lab.scenario_tables import EventTable, ScenarioTable, TruthTable

SCENARIOS = Path(__file__).parent / "scenarios"


def load_scenario(name: str, country: CountryPlan) -> Scenario:
    """Return a scenario of the folder `scenarios` by its name, without `.toml`.

    Raises:
        ConfigError: there is no such scenario, or its file is wrong.
    """
    path = SCENARIOS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in SCENARIOS.glob("*.toml")))
        raise ConfigError(path.name, f"there is no such scenario; expected one of {known}")
    return parse_scenario(path.read_bytes(), country, name=path.name)


def parse_scenario(text: str | bytes, country: CountryPlan, *, name: str) -> Scenario:
    """Return the scenario of a TOML text.

    Raises:
        ConfigError: one line: file, line, key, what is expected, what was found.
    """
    table, source = decode_toml(text, ScenarioTable, name=name)
    begins = _utc(table.begins, ("begins",), source)
    length_s = _since(begins, table.ends, ("ends",), source)
    if length_s <= 0:
        raise source.error(("ends",), "expected a time after begins, found none")
    events = []
    for number, event in enumerate(table.event):
        span = _span(begins, length_s, event, ("event", number), source)
        events.append(_event(span, event, number, country, source))
    return Scenario(
        table.name,
        table.about,
        begins,
        length_s,
        tuple(sorted(events, key=lambda event: event.begins_s)),
        _all_truth(table.truth, begins, length_s, country, source),
        table.suspected_shutdown,
        table.probes,
    )


def _event(
    span: tuple[float, float],
    event: EventTable,
    number: int,
    country: CountryPlan,
    source: Source,
) -> Event:
    where = ("event", number)
    if (event.knob is None) == (event.fault is None):
        raise source.error(where, "expected a knob or a fault, and only one")
    if event.fault is not None and event.options != Options():
        raise source.error((*where, "options"), "expected only with a knob")
    lines = _demand_lines(event.operator, event.kind, where, country, source)
    if event.knob is not None:
        if fault := option_fault(event.knob, event.options):
            raise source.error((*where, "options"), fault)
        if event.knob in MOBILE_ONLY and any(
            line.kind is not LineKind.MOBILE for line in country.line if line.id in lines
        ):
            raise source.error(
                (*where, "kind"), f"expected mobile: {event.knob} is no fixed line's"
            )
        if event.knob in EVERYWHERE and (event.operator or event.kind):
            raise source.error(where, f"{event.knob} takes neither operator nor kind")
    for site in event.options.sites:
        try:
            country.address_of(site)
        except ValueError as error:
            raise source.error((*where, "options", "sites"), str(error)) from None
    what = event.knob or event.fault
    assert what is not None
    return Event(*span, what, event.operator, event.kind, event.options, f"event-{number}")


def _all_truth(
    tables: tuple[TruthTable, ...],
    begins: datetime,
    length_s: float,
    country: CountryPlan,
    source: Source,
) -> tuple[Truth, ...]:
    told: list[Truth] = []
    for number, table in enumerate(tables):
        where = ("truth", number)
        states = LineVerdict if table.target is None else TargetVerdict
        for key in ("state", "without_modem"):
            value = getattr(table, key)
            if value is not None and value not in tuple(states):
                raise source.error((*where, key), f"expected one of {', '.join(states)}")
        span = _span(begins, length_s, table, where, source)
        for line in _demand_lines(table.operator, table.kind, where, country, source):
            other = table.without_modem or table.state
            truth = Truth(line, table.target, *span, table.state, other)
            if any(_overlap(truth, each) for each in told):
                raise source.error(where, f"overlaps what is told of {line} already")
            told.append(truth)
    for each in country.line:
        told += _ok_between(
            [t for t in told if (t.line, t.target) == (each.id, None)], each.id, length_s
        )
    return tuple(sorted(told, key=lambda t: (t.line, t.target or "", t.begins_s)))


def _ok_between(told: list[Truth], line: str, length_s: float) -> list[Truth]:
    """Return `ok` for all that is not told of a line."""
    found, at_s = [], 0.0
    for each in [*sorted(told, key=lambda t: t.begins_s), None]:
        until_s = length_s if each is None else each.begins_s
        if until_s > at_s:
            found.append(Truth(line, None, at_s, until_s, LineVerdict.OK, LineVerdict.OK))
        at_s = length_s if each is None else each.ends_s
    return found


def _overlap(one: Truth, other: Truth) -> bool:
    same = (one.line, one.target) == (other.line, other.target)
    return same and one.begins_s < other.ends_s and other.begins_s < one.ends_s


def _demand_lines(
    operator: str | None,
    kind: LineKind | None,
    where: tuple[str | int, ...],
    country: CountryPlan,
    source: Source,
) -> tuple[str, ...]:
    lines = country.lines_of(operator, kind)
    if not lines:
        names = ", ".join(f"{each.operator} {each.kind}" for each in country.line)
        raise source.error(where, f"expected an operator and kind that have a line ({names})")
    return tuple(line.id for line in lines)


def _span(
    begins: datetime,
    length_s: float,
    table: EventTable | TruthTable,
    where: tuple[str | int, ...],
    source: Source,
) -> tuple[float, float]:
    from_s = _since(begins, table.begins, (*where, "begins"), source)
    until_s = length_s
    if table.ends is not None:
        until_s = _since(begins, table.ends, (*where, "ends"), source)
    if not 0 <= from_s < until_s <= length_s:
        raise source.error((*where, "begins"), "expected begins before ends, both in the scenario")
    return from_s, until_s


def _since(
    begins: datetime, moment: datetime, path: tuple[str | int, ...], source: Source
) -> float:
    return (_utc(moment, path, source) - begins).total_seconds()


def _utc(moment: datetime, path: tuple[str | int, ...], source: Source) -> datetime:
    if moment.tzinfo is None:
        raise source.error(path, "expected a time in UTC such as 2022-01-05T10:30:00Z")
    return moment.astimezone(UTC)
