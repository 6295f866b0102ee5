"""Read the probe's configuration: text in, a frozen Config out, or one line of error.

Pure; the shell (config_file.py) reads the file. Invariant: any text or bytes give
a Config or a ConfigError. Source: docs/configuration.md.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from linewatch_agent.plan.config_rules import config_faults
from linewatch_agent.plan.settings import Config
from linewatch_agent.plan.toml_errors import ConfigError, decode_toml
from linewatch_core.targets import Target

__all__ = ["Config", "ConfigError", "config_sha256", "load_config"]


def load_config(text: str | bytes, *, name: str) -> Config:
    """Return the configuration that a TOML text says.

    Args:
        text: the file's content; bytes are taken as UTF-8.
        name: what to call the file in errors.
    Raises:
        ConfigError: one line: file, line, key, what is expected, what was found.
    """
    config, source = decode_toml(text, Config, name=name)
    for fault in config_faults(config, source):
        raise source.error(fault.path, fault.reason)
    return config


def config_sha256(config: Config, targets: Sequence[Target]) -> str:
    """Return the hexadecimal SHA-256 of what decides the measuring.

    That is the schedule, the targets, the data budget, the events, and what verdicts are told by.

    Comments and order of keys don't change it. Devices, directories and endpoints
    stay out: the hash is stored in records, and guessing must not find a host by it.

    Args:
        config: the configuration in force.
        targets: as `resolve_targets` returned them.
    """
    measuring = [config.schedule, targets, config.budget, config.event]
    parts = [*measuring, config.verdict, config.truth]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
