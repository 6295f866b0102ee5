"""Read the probe's configuration from disk: the shell of plan/config.py."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from linewatch_agent.plan.config import Config, ConfigError, config_sha256, load_config
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
    """Return the plan that a file says, its target sets included.

    Args:
        path: the file; None means the defaults. Paths of target sets in it begin
            at its folder.
    Raises:
        ConfigError: it, or a set that it names, can't be read or is wrong.
    """
    config = Config() if path is None else load_config(_read(path), name=str(path))
    base_dir = Path() if path is None else path.parent
    targets = resolve_targets(config, load_target_sets(config.targets.sets, base_dir))
    return Plan(config, targets, config_sha256(config, targets))


def default_config_text() -> str:
    """Return a commented example file; it means the same as an empty one."""
    return resources.files(__package__).joinpath("linewatch.example.toml").read_text("utf-8")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), f"can't be read: {error.strerror}") from None
