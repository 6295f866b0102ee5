"""Where the agent's files are unless a command is told otherwise, and the options that tell it."""

import argparse
from pathlib import Path

DEFAULT_STATE = Path("/var/lib/linewatch")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, as `config`; None: the defaults."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: the defaults")


def add_state(parser: argparse.ArgumentParser) -> None:
    """Add `--state`, as `state`."""
    parser.add_argument(
        "--state", type=Path, default=DEFAULT_STATE, metavar="DIR", help=f"default: {DEFAULT_STATE}"
    )
