"""The command `linewatch-agent`: lines, check-config, enrol, first-boot, run, status, export.

Every error that a person can cause is one line on standard error that says what
to do, and exit code 1.
"""

import argparse
import asyncio
import faulthandler
import logging
import sys
from pathlib import Path

import structlog

from linewatch_agent.care_commands import add_care_commands
from linewatch_agent.own_version import own_version
from linewatch_agent.plan.vitals import MEMORY_BYTES_MAX
from linewatch_agent.reading_commands import add_reading_commands
from linewatch_agent.usual_places import add_config, add_state
from linewatch_core.errors import LinewatchError, first_error


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    _set_up_logs(verbose=options.verbose)
    try:
        code: int = options.command(options)
    except LinewatchError as error:
        print(f"linewatch-agent: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="linewatch-agent", description="Measures this machine's lines and keeps the results."
    )
    parser.add_argument("--version", action="version", version=own_version())
    parser.add_argument("-v", "--verbose", action="store_true", help="log every step")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add_reading_commands(commands)

    enrol = commands.add_parser("enrol", help="make this machine a probe of a fleet")
    enrol.add_argument("token", type=Path, metavar="TOKENFILE")
    add_state(enrol)
    enrol.set_defaults(command=_enrol)

    first = commands.add_parser("first-boot", help="take in what a person put on the card (root)")
    first.add_argument("--boot", type=Path, required=True, metavar="DIR", help="first partition")
    first.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="all else is below it"
    )
    first.set_defaults(command=_first_boot)

    run = commands.add_parser("run", help="measure, until stopped")
    add_config(run)
    add_state(run)
    run.add_argument(
        "--memory-max-mb",
        type=int,
        default=MEMORY_BYTES_MAX // 1_000_000,
        metavar="MB",
        help="end in order when it takes more, to be started anew (default: %(default)s)",
    )
    run.set_defaults(command=_run)

    add_care_commands(commands)

    helper = commands.add_parser("modem-helper", help="reset modems for the agent (root, by D-Bus)")
    helper.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    helper.add_argument("--idle-s", type=float, default=60.0, help=argparse.SUPPRESS)
    helper.set_defaults(command=_modem_helper)

    export = commands.add_parser("export", help="write what the server lacks to a USB stick")
    export.add_argument("directory", type=Path, metavar="DIR", help="a folder on the stick")
    add_state(export)
    export.add_argument(
        "--all", action="store_true", dest="everything", help="also what the server has"
    )
    export.add_argument(
        "--damaged", action="store_true", help="also what is left of stores set aside as damaged"
    )
    export.set_defaults(command=_export)
    return parser


def _set_up_logs(*, verbose: bool) -> None:
    """Log to standard error, in logfmt: the journal adds the time."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if verbose else logging.INFO
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _enrol(options: argparse.Namespace) -> int:
    from linewatch_agent.identity import enrol

    print(asyncio.run(enrol.enrol(options.token, options.state)))
    return 0


def _first_boot(options: argparse.Namespace) -> int:
    from linewatch_agent.first_boot import first_boot

    report = first_boot(options.boot, options.root)
    for sentence in report.done:
        print(sentence)
    for problem in report.problems:
        print(f"linewatch-agent: {problem}", file=sys.stderr)
    return 1 if report.problems else 0


def _run(options: argparse.Namespace) -> int:
    from linewatch_agent.app import Agent
    from linewatch_agent.identity.identity import load_identity
    from linewatch_agent.plan_file import read_plan
    from linewatch_agent.running import run
    from linewatch_agent.snapshot import snapshot

    plan = read_plan(options.config)
    identity = load_identity(options.state)

    async def measure() -> None:
        agent = Agent(options.state, plan, identity)
        await run(agent, snapshot, memory_bytes_max=options.memory_max_mb * 1_000_000)

    # Where it hung, if the watchdog ends it by SIGABRT.
    faulthandler.enable()
    try:
        asyncio.run(measure())
    except BaseExceptionGroup as group:
        if group.split(LinewatchError)[1] is not None:
            raise
        raise first_error(group) from None
    return 0


def _modem_helper(options: argparse.Namespace) -> int:
    from linewatch_agent.modem_helper.service import serve

    asyncio.run(serve(options.root, idle_s=options.idle_s))
    return 0


def _export(options: argparse.Namespace) -> int:
    from linewatch_agent.export_command import export

    done = export(
        options.state, options.directory, everything=options.everything, damaged=options.damaged
    )
    if not done.items:
        print(f"{options.directory} lacks nothing.")
    else:
        print(f"{done.items} segments and key messages in {done.files} new files.")
    print(f"Next, where the server is: linewatch-server import SERVER_DIR {options.directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
