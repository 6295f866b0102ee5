"""The commands by which people look after a probe: doctor, measure-footprint, self-test.

Only their arguments are here: each imports what it needs when it is called.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from linewatch_agent.usual_places import add_state

if TYPE_CHECKING:
    from linewatch_agent.doctor.findings import Finding


def add_care_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add them to the parser of `linewatch-agent`."""
    doctor = commands.add_parser("doctor", help="say what is wrong with this probe, and what to do")
    _add_places(doctor)
    doctor.add_argument(
        "--network", action="store_true", help="also try resolvers and the server, on every line"
    )
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.set_defaults(command=_doctor)

    test = commands.add_parser("self-test", help="try whether this release works on this computer")
    test.add_argument("--json", action="store_true", help="as JSON")
    test.set_defaults(command=_self_test)

    footprint = commands.add_parser(
        "measure-footprint", help="measure the agent's memory, CPU, writes and data"
    )
    _add_places(footprint)
    footprint.add_argument(
        "--minutes", type=float, default=60.0, metavar="N", help="how long (default: %(default)g)"
    )
    footprint.add_argument(
        "--start", action="store_true", help="start an agent for it (stop the service before)"
    )
    footprint.add_argument("--json", action="store_true", help="as JSON")
    footprint.set_defaults(command=_measure_footprint)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="default: the usual one, or the defaults"
    )
    add_state(parser)


def _doctor(options: argparse.Namespace) -> int:
    from linewatch_agent.doctor.command import examine

    return _print(examine(options.state, options.config, network=options.network), options)


def _self_test(options: argparse.Namespace) -> int:
    from linewatch_agent.self_test import self_test

    return _print(self_test(), options)


def _print(findings: "list[Finding]", options: argparse.Namespace) -> int:
    from linewatch_agent.doctor.findings import in_json, in_words, is_wrong

    if options.json:
        sys.stdout.write(in_json(findings).decode() + "\n")
    else:
        print(in_words(findings))
    return 1 if is_wrong(findings) else 0


def _measure_footprint(options: argparse.Namespace) -> int:
    import asyncio
    from contextlib import nullcontext

    import msgspec

    from linewatch_agent.footprint.command import measure, started
    from linewatch_agent.footprint.figures import figures_of, in_words

    here = started(options.state, options.config) if options.start else nullcontext()
    with here:
        measured = asyncio.run(measure(options.state, seconds=60 * options.minutes))
    figures = figures_of(measured)
    if options.json:
        told = {"seconds": measured.seconds, "figures": figures}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    else:
        print(in_words(measured, figures))
    return 1 if any(figure.missed for figure in figures) else 0
