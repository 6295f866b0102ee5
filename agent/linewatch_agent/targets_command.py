"""The command `linewatch`: work on target sets, on any machine; no probe is needed.

Every error that a person can cause is one line on standard error that says what to do,
and exit code 1. Nothing here contacts a host.
"""

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from linewatch_agent.own_version import own_version
from linewatch_agent.plan.citizen_lab import TARGETS_MAX, Imported, import_test_list
from linewatch_agent.plan.data_use import MONTH_S, megabytes
from linewatch_agent.plan.load import load_of
from linewatch_agent.plan.set_text import target_set_text
from linewatch_agent.plan.settings import Config, UplinkConfig
from linewatch_agent.plan.target_advice import set_advice, unchecked
from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_agent.targets import load_target_set
from linewatch_core.errors import LinewatchError
from linewatch_core.targets import Target, TargetSet

ABOUT = """\
{count} names of the Citizen Lab's test list for {country}, each by DNS and TCP in every {every}th
round. A sensitive name that a probe asks for can be seen by the operator of its line: read
"Sensitive names" in docs/targets.md before a volunteer's probe carries it.
"""
SOURCE = """\
{name}, a test list in the format of github.com/citizenlab/test-lists, whose licence is
CC BY-NC-SA 4.0. Taken as it is: which names still exist, and what they are blocked for, has
not been verified. The file's SHA-256:
{sha256}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except LinewatchError as error:
        print(f"linewatch: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="linewatch", description="Works on target sets.")
    parser.add_argument("--version", action="version", version=own_version())
    groups = parser.add_subparsers(required=True, metavar="COMMAND")
    targets = groups.add_parser("targets", help="check target sets, or make one of a list")
    commands = targets.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="say what is wrong with a target set")
    check.add_argument("set", metavar="FILE", help="a file, or the name of a bundled set")
    check.set_defaults(command=_check)

    make = commands.add_parser("import", help="make a target set of a Citizen Lab test list")
    make.add_argument("list", type=Path, metavar="FILE.csv")
    make.add_argument("--country", required=True, help='two letters, or "global"')
    make.add_argument("--out", type=Path, required=True, metavar="FILE.toml")
    make.add_argument(
        "--category", action="append", default=[], help="a code such as NEWS; may be repeated"
    )
    make.add_argument("--max", type=_number(1, TARGETS_MAX), default=20, help="default: 20")
    make.add_argument("--every", type=_number(1, 2880), default=20, help="default: 20 rounds")
    make.add_argument("--force", action="store_true", help="write over an existing file")
    make.set_defaults(command=_import)
    return parser


def _number(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
            reason = f"expected a whole number from {low} to {high}, found {text!a}"
            raise argparse.ArgumentTypeError(reason)
        return int(text)

    return parse


def _check(options: argparse.Namespace) -> int:
    found = load_target_set(options.set, Path())
    roles = Counter(target.role for target in found.target)
    told = ", ".join(f"{count} {role}" for role, count in roles.items())
    print(f"{options.set} is right: {_targets(found.target)} ({told or 'none'})")
    print(f"  up to {_month_mb(found.target)} MB a line a month on IPv4, a round every 30 s")
    for sentence in set_advice(found):
        print(f"  note: {sentence}")
    for sentence in unchecked(found):
        print(f"  not checked: {sentence}")
    return 0


def _import(options: argparse.Namespace) -> int:
    data = _read(options.list)
    imported = import_test_list(
        data,
        name=str(options.list),
        country=options.country,
        categories=[code.upper() for code in options.category],
        targets_max=options.max,
        every=options.every,
    )
    made = TargetSet(
        target=imported.targets,
        name=f"Citizen Lab, {options.country}",
        about=ABOUT.format(
            count=len(imported.targets), country=options.country, every=options.every
        ),
        source=SOURCE.format(
            name=_file_name(options.list), sha256=hashlib.sha256(data).hexdigest()
        ),
    )
    _write(options.out, target_set_text(made), force=options.force)
    _tell(options.out, imported)
    return 0


def _tell(path: Path, imported: Imported) -> None:
    categories = Counter(target.category for target in imported.targets)
    told = ", ".join(f"{count} {code}" for code, count in sorted(categories.items(), key=str))
    print(f"{path}: {_targets(imported.targets)} ({told})")
    print(f"  up to {_month_mb(imported.targets)} MB a line a month on IPv4, a round every 30 s")
    for reason, count in imported.left_out.items():
        print(f"  left out: {count} {'row' if count == 1 else 'rows'} {reason}")


def _targets(targets: Sequence[Target]) -> str:
    return "1 target" if len(targets) == 1 else f"{len(targets)} targets"


def _month_mb(targets: Sequence[Target]) -> str:
    """Return what the checks of some targets cost a month, without the uplink."""
    load = load_of(Config(uplink=UplinkConfig(enabled=False)), targets, (4,))
    return megabytes(round(sum(load.checks.values()) * MONTH_S))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), f"can't be read: {_why(error)}") from None


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(str(path), "it exists: choose another name, or add --force") from None
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), f"can't be written: {_why(error)}") from None


def _file_name(path: Path) -> str:
    """Return the last part of a path as text that UTF-8 can hold."""
    return path.name.encode(errors="replace").decode()


def _why(error: OSError | ValueError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "not a path"


if __name__ == "__main__":
    sys.exit(main())
