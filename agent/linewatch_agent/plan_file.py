"""A configuration file with the target sets that it names: everything that the agent will do."""

from dataclasses import dataclass
from pathlib import Path

from linewatch_agent.config_file import read_config
from linewatch_agent.plan.budget import with_profile
from linewatch_agent.plan.config import Config, config_sha256
from linewatch_agent.plan.target_choice import resolve_targets
from linewatch_agent.targets import load_target_sets
from linewatch_core.targets import Target


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration with the targets that it means; `sha256` as in `config_sha256`."""

    config: Config
    targets: tuple[Target, ...]
    sha256: str


def read_plan(path: Path | None) -> Plan:
    """Return the plan that a file says, its budget's profile applied; None means the defaults.

    Relative paths of target sets begin at the file's folder.

    Raises:
        ConfigError: the file, or a set that it names, can't be read or is wrong.
    """
    config = with_profile(read_config(path))
    base_dir = Path() if path is None else path.parent
    targets = resolve_targets(config, load_target_sets(config.targets.sets, base_dir))
    return Plan(config, targets, config_sha256(config, targets))
