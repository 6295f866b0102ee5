"""The bundled target sets, and the loader. No host in them is ever contacted here."""

from pathlib import Path

import pytest

from linewatch_agent.plan.budget import fitting, month_cap_bytes, with_profile
from linewatch_agent.plan.config import Config, ConfigError, load_config
from linewatch_agent.plan.data_use import MONTH_S
from linewatch_agent.plan.ledger import Purpose
from linewatch_agent.plan.load import load_of
from linewatch_agent.plan.settings import TargetsConfig
from linewatch_agent.plan.target_advice import set_advice
from linewatch_agent.plan.target_choice import resolve_targets
from linewatch_agent.targets import bundled_names, load_target_set, load_target_sets
from linewatch_core.records import Check, LineKind, Role

NOWHERE = Path("/nonexistent")
DOCS = Path(__file__).parents[3] / "docs"
COUNTRIES = ("by", "ir", "kz", "mm", "ru")
OWN = "[[target]]\nid = 'own'\nrole = 'neutral'\nhost = 'a.example'\nchecks = ['icmp']\n"


def test_every_bundled_set_loads_and_says_what_it_is() -> None:
    """A set without purpose and sources can't be judged by the one who switches it on."""
    assert {"global", "goodput", "portal", "web", *COUNTRIES} <= set(bundled_names())
    for name in bundled_names():
        found = load_target_set(name, NOWHERE)
        assert found.target
        assert found.name
        assert found.about
        assert found.source


def test_all_bundled_sets_go_together() -> None:
    """No id stands in two sets, so that any of them can be combined."""
    names = tuple(bundled_names())
    config = Config(targets=type(Config().targets)(sets=names))
    chosen = resolve_targets(config, load_target_sets(names, NOWHERE))
    assert len(chosen) == len({each.id for each in chosen})


def month_mb(sets: tuple[str, ...], profile: str, families: tuple[int, ...]) -> tuple[float, float]:
    """Return what a mobile line's month costs within its budget, and the budget, in MB."""
    text = f"[targets]\nsets = {list(sets)}\n[budget]\nprofile = '{profile}'"
    config = with_profile(load_config(text, name="f.toml"))
    load = load_of(config, resolve_targets(config, load_target_sets(sets, NOWHERE)), families)
    cap = month_cap_bytes(config, LineKind.MOBILE)
    assert cap is not None
    held = fitting(load, bytes_per_s=(cap - load.round_bytes) / MONTH_S)
    return load.at(held.strides) * MONTH_S / 1e6, cap / 1e6


@pytest.mark.parametrize("families", [(4,), (4, 6)])
def test_the_default_set_fits_its_budgets(families: tuple[int, ...]) -> None:
    """150 MB a month, or 30 with the frugal profile, the sync included."""
    spent, cap = month_mb(("global",), "normal", families)
    assert (spent <= cap, cap) == (True, 150)
    spent, cap = month_mb(("global",), "frugal", families)
    assert (spent <= cap, cap) == (True, 30)


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_countrys_set_fits_beside_the_default_one(country: str) -> None:
    """The budget slows what it must, and the month still ends within it, frugal or not."""
    for profile in ("normal", "frugal"):
        spent, cap = month_mb(("global", country, "portal"), profile, (4,))
        assert spent <= cap


def test_the_default_set_measures_all_that_is_vital_on_an_ipv4_line() -> None:
    """Within 150 MB what a verdict rests on runs every round; other small checks every other."""
    targets = resolve_targets(Config(), load_target_sets(Config().targets.sets, NOWHERE))
    load = load_of(Config(), targets, (4,))
    held = fitting(load, bytes_per_s=(150_000_000 - load.round_bytes) / MONTH_S)
    assert {purpose: held.strides[purpose] for purpose in load.checks} == {
        Purpose.VITAL: 1,
        Purpose.LIGHT: 2,
    }
    assert held.uplink_stride == 8


def test_the_default_set_can_carry_the_international_half_of_a_verdict() -> None:
    """Six hosts by two protocols in every round, a resolver by UDP, two vendors' portals."""
    found = load_target_set("global", NOWHERE)
    assert not list(set_advice(found))
    abroad = [each for each in found.target if each.role is Role.INTERNATIONAL]
    assert len({each.host for each in abroad if ":" not in each.host}) == 6
    assert {each.every for each in abroad} == {1}
    assert {each.role for each in found.target} == {
        Role.INTERNATIONAL,
        Role.NEUTRAL,
        Role.RESOLVER,
        Role.PORTAL,
    }
    assert sum(":" in each.host for each in found.target) == 3


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_countrys_set_has_what_the_blocking_rules_need(country: str) -> None:
    """Two of its names with all contrasts, as often as one outcome counts, and no more."""
    found = load_target_set(country, NOWHERE)
    why = [each for each in found.target if Check.SNI in each.checks]
    hosts = {each.host for each in found.target if each not in why}
    config = Config()
    for each in why:
        assert set(each.checks) == {Check.SNI, Check.NEIGHBOUR, Check.CONTRAST}
        assert each.host in hosts
        assert each.neutral not in hosts
        assert each.every * config.schedule.period_s <= config.verdict.carry_s
    assert len(why) == 2
    load = load_of(config, why, (4,))
    assert 100e6 < load.checks[Purpose.HTTP] * MONTH_S < 115e6


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_larger_budget_measures_all_of_a_countrys_set(country: str) -> None:
    """As docs/targets.md says: with 470 MB only sending waits."""
    sets = ("global", country)
    targets = resolve_targets(
        Config(targets=TargetsConfig(sets=sets)), load_target_sets(sets, NOWHERE)
    )
    load = load_of(Config(), targets, (4,))
    held = fitting(load, bytes_per_s=(470_000_000 - load.round_bytes) / MONTH_S)
    assert {held.strides[purpose] for purpose in load.checks} == {1}


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_countrys_set_can_carry_the_domestic_half(country: str) -> None:
    """At least five hosts in every round, and a few sensitive names that all are asked for."""
    found = load_target_set(country, NOWHERE)
    assert not list(set_advice(found))
    domestic = [each for each in found.target if each.role is Role.DOMESTIC]
    sensitive = [each for each in found.target if Check.TCP in each.checks and each.every == 10]
    assert len({each.host for each in domestic}) >= 5
    assert all(Check.TCP in each.checks and each.every == 1 for each in domestic)
    assert 3 <= len(sensitive) <= 5
    assert {each.role for each in sensitive} == {Role.SENSITIVE}
    assert all(each.id.startswith(f"{country}-") for each in found.target)
    assert "not been verified" in found.source.replace("\n", " ")


def test_portals_are_checked_in_the_same_rounds() -> None:
    """A verdict compares them within a round; each has a known answer of its own."""
    found = [
        each for name in ("global", "portal") for each in load_target_set(name, NOWHERE).target
    ]
    portals = [each for each in found if each.role is Role.PORTAL]
    random_name = [each for each in found if Check.RANDOM_NAME in each.checks]
    assert len(portals) == 4
    assert {each.every for each in portals + random_name} == {20}
    assert all(each.checks == (Check.PORTAL,) for each in portals)
    assert len({(each.expected.status, each.expected.body) for each in portals}) == 4
    assert all(each.url and each.url.startswith("http://") for each in portals)


def test_throttling_is_seen_by_three_hosts_often_enough() -> None:
    """A value of goodput counts for 15 minutes: half an hour of rounds would be too seldom."""
    found = load_target_set("goodput", NOWHERE).target
    assert len({each.host for each in found}) == 3
    assert all(each.checks == (Check.THROUGHPUT,) for each in found)
    assert all(each.every * Config().schedule.period_s <= 15 * 60 for each in found)


def test_the_documents_list_every_bundled_set() -> None:
    """docs/targets.md names each set with its number of targets."""
    text = (DOCS / "targets.md").read_text("utf-8")
    for name in bundled_names():
        count = len(load_target_set(name, NOWHERE).target)
        assert f"| `{name}` | {count} |" in text


def test_a_fleets_own_file_is_found_beside_the_configuration(tmp_path: Path) -> None:
    """Relative paths begin at the configuration's folder; absolute ones are taken as they are."""
    (tmp_path / "own.toml").write_text(OWN)
    for name in ("own.toml", "./own.toml", str(tmp_path / "own.toml")):
        assert [each.id for each in load_target_set(name, tmp_path).target] == ["own"]


def test_what_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    """An unknown name lists the known ones; a wrong file names its line."""
    with pytest.raises(ConfigError, match=r"'kzz': no such set: expected one of by, global"):
        load_target_set("kzz", tmp_path)
    with pytest.raises(ConfigError, match=r"none.toml: can't be read: No such file"):
        load_target_set("none.toml", tmp_path)
    with pytest.raises(ConfigError, match="can't be read: not a path"):
        load_target_set("a\0.toml", tmp_path)
    (tmp_path / "own.toml").write_text(OWN + "chekcs = []")
    with pytest.raises(ConfigError, match=r"own.toml, line 6: target\[0\].chekcs.*mean checks"):
        load_target_set("own.toml", tmp_path)
