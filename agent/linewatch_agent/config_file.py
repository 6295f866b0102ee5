"""Read the probe's configuration file from disk: the shell of plan/config.py."""

from pathlib import Path

from linewatch_agent.plan.config import Config, ConfigError, load_config


def read_config(path: Path | None) -> Config:
    """Return the configuration in a file; None means the defaults.

    Raises:
        ConfigError: the file can't be read or is wrong.
    """
    if path is None:
        return Config()
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(str(path), f"can't be read: {reason}") from None
    return load_config(data, name=str(path))


def default_config_text() -> str:
    """Return a commented example file; it means the same as an empty one."""
    return Path(__file__).with_name("linewatch.example.toml").read_text("utf-8")
