"""Reading a configuration together with the target sets that it names."""

from pathlib import Path

from linewatch_agent.plan.config import Config, config_sha256
from linewatch_agent.plan_file import read_plan


def test_a_plan_joins_the_file_and_the_sets_that_it_names(tmp_path: Path) -> None:
    """A set's path begins at the configuration's folder, wherever the agent was started."""
    path = tmp_path / "linewatch.toml"
    path.write_text("[targets]\nsets = ['own.toml']\n")
    own = "[[target]]\nid = 'own'\nrole = 'neutral'\nhost = 'a.example'\nchecks = ['icmp']\n"
    (tmp_path / "own.toml").write_text(own)
    plan = read_plan(path)
    assert [each.id for each in plan.targets] == ["gateway", "resolver", "own"]
    assert plan.sha256 == config_sha256(plan.config, plan.targets)


def test_no_file_means_the_default_plan() -> None:
    """The bundled default set, with the line's own gateway and resolver."""
    plan = read_plan(None)
    assert plan.config == Config()
    assert len(plan.targets) == 17


def test_the_frugal_profile_is_in_force_in_the_plan(tmp_path: Path) -> None:
    """What runs, and what is hashed into the records, is what the profile makes of the file."""
    path = tmp_path / "linewatch.toml"
    path.write_text("[budget]\nprofile = 'frugal'\n")
    plan = read_plan(path)
    assert (plan.config.budget.month_mb, plan.config.store.live_close_s) == (30, 900.0)
    assert plan.sha256 != read_plan(None).sha256
