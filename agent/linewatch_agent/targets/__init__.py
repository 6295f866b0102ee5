"""The bundled target sets, and the loader of these and of a fleet's own files.

A set is data (a TOML file beside this one); what makes one right is in
plan/target_rules.py. Source: docs/targets.md.
"""

from collections.abc import Iterable
from pathlib import Path

from linewatch_agent.plan.target_rules import parse_target_set
from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_core.targets import TargetSet

_SUFFIX = ".toml"
_HERE = Path(__file__).parent
"""Not by importlib.resources, which costs a probe 0.3 MB."""


def bundled_names() -> list[str]:
    """Return the names of the sets that come with the agent, sorted."""
    return sorted(file.stem for file in _HERE.glob(f"*{_SUFFIX}"))


def load_target_set(name_or_path: str, base_dir: Path) -> TargetSet:
    """Return a bundled set by its name, or the set in a file.

    Args:
        name_or_path: a bundled set's name such as `global`; with a slash or an
            ending of `.toml` it is a path.
        base_dir: where relative paths begin: the configuration file's folder.
    Raises:
        ConfigError: no such set, an unreadable file, or a wrong one.
    """
    if "/" in name_or_path or name_or_path.endswith(_SUFFIX):
        return _load_file(base_dir / name_or_path)
    names = bundled_names()
    if name_or_path not in names:
        wanted = f"one of {', '.join(names)}, or a path such as ./own.toml"
        raise ConfigError(f"target set {name_or_path!a}", f"no such set: expected {wanted}")
    data = (_HERE / (name_or_path + _SUFFIX)).read_bytes()
    return parse_target_set(data, name=name_or_path + _SUFFIX)


def load_target_sets(names_or_paths: Iterable[str], base_dir: Path) -> list[TargetSet]:
    """Return the sets of `[targets] sets`, in order; as `load_target_set`."""
    return [load_target_set(each, base_dir) for each in names_or_paths]


def _load_file(path: Path) -> TargetSet:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(f"target set {path}", f"can't be read: {reason}") from None
    return parse_target_set(data, name=str(path))
