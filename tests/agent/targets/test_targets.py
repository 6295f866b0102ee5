"""The bundled target sets, and the loader. No host in them is ever contacted here."""

from pathlib import Path

import pytest

from linewatch_agent.plan.config import Config, ConfigError
from linewatch_agent.plan.data_use import MONTH_BYTES_ADVISED, estimate
from linewatch_agent.plan.line import Line
from linewatch_agent.plan.target_choice import resolve_targets
from linewatch_agent.targets import bundled_names, load_target_set, load_target_sets
from linewatch_core.records import Check, LineKind, Role

NOWHERE = Path("/nonexistent")
OWN = "[[target]]\nid = 'own'\nrole = 'neutral'\nhost = 'a.example'\nchecks = ['icmp']\n"


def test_every_bundled_set_loads_and_says_what_it_is() -> None:
    """A set without purpose and sources can't be judged by the one who switches it on."""
    assert {"global", "kz", "portal", "web"} <= set(bundled_names())
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


def test_the_default_load_is_modest() -> None:
    """An IPv4 line: 8 checks a round, and no more data than a volunteer's SIM is asked for."""
    targets = resolve_targets(Config(), load_target_sets(Config().targets.sets, NOWHERE))
    line = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))
    use = estimate(Config(), targets, [line])["mobile-1"]
    assert use.records_per_day == 8 * 2880
    assert use.bytes_per_month <= MONTH_BYTES_ADVISED


def test_the_default_set_has_every_role_that_it_promises() -> None:
    """International, neutral, resolver and portal, and the IPv6 twins."""
    found = load_target_set("global", NOWHERE).target
    assert {each.role for each in found} == {
        Role.INTERNATIONAL,
        Role.NEUTRAL,
        Role.RESOLVER,
        Role.PORTAL,
    }
    assert sum(":" in each.host for each in found) == 3


def test_the_kazakh_set_is_domestic_and_large_enough() -> None:
    """At least five hosts, each under a name of the country."""
    found = load_target_set("kz", NOWHERE).target
    assert len({each.host for each in found}) >= 5
    assert all(each.role is Role.DOMESTIC and each.host.endswith(".kz") for each in found)
    assert all(Check.TCP in each.checks for each in found)


def test_a_fleets_own_file_is_found_beside_the_configuration(tmp_path: Path) -> None:
    """Relative paths begin at the configuration's folder; absolute ones are taken as they are."""
    (tmp_path / "own.toml").write_text(OWN)
    for name in ("own.toml", "./own.toml", str(tmp_path / "own.toml")):
        assert [each.id for each in load_target_set(name, tmp_path).target] == ["own"]


def test_what_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    """An unknown name lists the known ones; a wrong file names its line."""
    with pytest.raises(ConfigError, match=r"'kzz': no such set: expected one of global, kz, por"):
        load_target_set("kzz", tmp_path)
    with pytest.raises(ConfigError, match=r"none.toml: can't be read: No such file"):
        load_target_set("none.toml", tmp_path)
    with pytest.raises(ConfigError, match="can't be read: not a path"):
        load_target_set("a\0.toml", tmp_path)
    (tmp_path / "own.toml").write_text(OWN + "chekcs = []")
    with pytest.raises(ConfigError, match=r"own.toml, line 6: target\[0\].chekcs.*mean checks"):
        load_target_set("own.toml", tmp_path)
