"""Reading the configuration from disk, and the example that comes with the agent."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from linewatch_agent.config_file import default_config_text, read_config
from linewatch_agent.plan.config import Config, ConfigError, load_config
from linewatch_agent.plan.settings import HoldConfig

DOCS = Path(__file__).parents[2] / "docs"


def keys_of(config: Config) -> set[str]:
    sections = msgspec.to_builtins(config)
    return {f"{name}.{key}" for name, each in sections.items() if each for key in each}


def test_the_example_means_the_defaults() -> None:
    """Whoever starts from the example changes nothing by it."""
    assert load_config(default_config_text(), name="example") == Config()


def test_the_example_states_every_key() -> None:
    """A key that is missing from the example would be found by nobody."""
    document = tomllib.loads(default_config_text())
    stated = {f"{name}.{key}" for name, each in document.items() for key in each}
    assert stated == keys_of(Config())


def test_what_the_example_comments_out_is_right_too() -> None:
    """The tables shown in comments load when the comment sign is taken away."""
    text = default_config_text()
    for line in text.splitlines():
        if line.startswith("# [") or (line.startswith("# ") and " = " in line):
            text = text.replace(line, line.removeprefix("# "))
    config = load_config(text, name="example")
    assert (config.line[0].device, config.target[0].host) == ("eth0", "example.org")
    assert config.verdict.hold.throttled_target == HoldConfig(
        raise_rounds=5, clear_rounds=5, raise_s=600
    )


def test_the_documents_tell_every_key_with_its_default() -> None:
    """docs/configuration.md has a row for each key of each section."""
    text = (DOCS / "configuration.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    told = {row[0].strip("`"): row[1].strip("`") for row in rows if len(row) == 4}
    defaults = msgspec.json.decode(msgspec.json.encode(Config()))
    for path in keys_of(Config()):
        section, _, key = path.partition(".")
        assert tomllib.loads(f"x = {told[path]}")["x"] == defaults[section][key], path
    holds = {f"verdict.hold.<name>.{key}" for key in HoldConfig.__struct_fields__}
    assert holds <= set(told)
    assert set(told) > keys_of(Config())


def test_no_file_means_the_defaults() -> None:
    """A probe without a configuration measures."""
    assert read_config(None) == Config()


def test_a_file_is_read(tmp_path: Path) -> None:
    """The file's path is what errors name."""
    path = tmp_path / "linewatch.toml"
    path.write_text("[schedule]\nperiod_s = 20\n")
    assert read_config(path).schedule.period_s == 20
    path.write_text("[schedule]\nperiod_s = 0\n")
    with pytest.raises(ConfigError, match=r"linewatch.toml, line 2: schedule.period_s"):
        read_config(path)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """What the system says is passed on in words."""
    with pytest.raises(ConfigError, match=r"none.toml: can't be read: No such file or directory$"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        read_config(tmp_path)
