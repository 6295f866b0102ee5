"""The command `linewatch-release`, root's: puts releases in place, and takes them back.

Errors are one line on standard error that says what to do, and exit code 1.
"""

import argparse
import contextlib
import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from linewatch_agent.own_version import own_version
from linewatch_agent.releases.adopt import adopt
from linewatch_agent.releases.places import Places
from linewatch_agent.releases.shelf import Shelf
from linewatch_core.errors import LinewatchError

AGENT_UNIT = "linewatch-agent.service"
LOCK_FILE = "lock"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    shelf = Shelf(Places(options.root))
    try:
        with _alone(shelf.places) if options.changes else contextlib.nullcontext():
            code: int = options.command(options, shelf)
    except LinewatchError as error:
        print(f"linewatch-release: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"linewatch-release: cannot go on: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="linewatch-release", description="Puts releases of the agent in place (as root)."
    )
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=own_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("list", help="list the releases on this machine")
    show.set_defaults(command=_list, changes=False)
    update = commands.add_parser("update", help="put in place what the agent fetched")
    update.set_defaults(command=_update, changes=True)
    take = commands.add_parser("adopt", help="take the Debian package's release")
    take.set_defaults(command=_adopt, changes=True)
    return parser


@contextlib.contextmanager
def _alone(places: Places) -> Iterator[None]:
    """Wait until no other of us works: an upgrade of the package may meet an update."""
    places.state.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (places.state / LOCK_FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _list(_: argparse.Namespace, shelf: Shelf) -> int:
    current = shelf.current()
    for one in shelf.versions():
        print(f"{one}  runs" if one == current else one)
    return 0 if current else 1


def _adopt(_: argparse.Namespace, shelf: Shelf) -> int:
    adopt(shelf, shelf.places.package)
    print(f"linewatch-release: {shelf.current()} runs")
    return 0


def _update(_: argparse.Namespace, shelf: Shelf) -> int:
    from linewatch_agent.releases.install import Installer

    installer = Installer(shelf, restart_agent)
    proved = installer.settle()
    if proved:
        print(f"linewatch-release: {proved} has proved itself")
    taken = installer.install()
    if taken:
        print(f"linewatch-release: {taken} runs on trial from now on")
    return 0


def restart_agent() -> None:
    """Have the agent start anew if it runs; where no systemd does, there is nothing to do."""
    if Path("/run/systemd/system").exists():
        command = ["systemctl", "--no-block", "try-restart", AGENT_UNIT]
        subprocess.run(command, check=False)


if __name__ == "__main__":
    sys.exit(main())
