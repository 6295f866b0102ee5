"""The commands that only read: lines, check-config, example-config, status.

Only their arguments are here: each imports what it needs when it is called.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from linewatch_agent.usual_places import DEFAULT_STATE, add_config, add_state


def add_reading_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add them to the parser of `linewatch-agent`."""
    lines = commands.add_parser("lines", help="list the lines found, and what is wrong with them")
    add_config(lines)
    add_state(lines)
    lines.add_argument("--json", action="store_true", help="as JSON")
    lines.set_defaults(command=_lines)

    check = commands.add_parser("check-config", help="check a configuration file")
    check.add_argument("config", type=Path, metavar="FILE")
    check.set_defaults(command=_check_config)

    example = commands.add_parser("example-config", help="print a commented configuration")
    example.set_defaults(command=_example_config)

    status = commands.add_parser("status", help="say how the running agent is")
    add_state(status)
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(command=_status)


def _lines(options: argparse.Namespace) -> int:
    from linewatch_agent.lines import explain, explain_json, find_lines_once, machine_problems
    from linewatch_agent.modems.once import ask_modems
    from linewatch_agent.plan_file import read_plan
    from linewatch_agent.watcher import load_line_ids

    config = read_plan(options.config).config

    found = asyncio.run(find_lines_once(config, load_line_ids(options.state)))
    lines, modems, trouble = asyncio.run(ask_modems(found))
    problems = [*machine_problems(lines), *trouble]
    if options.json:
        print(explain_json(lines, problems, modems).decode())
    else:
        print(explain(lines, problems, modems))
    return 0 if any(line.usable for line in lines) else 1


def _check_config(options: argparse.Namespace) -> int:
    from linewatch_agent.lines import find_lines
    from linewatch_agent.plan.data_use import advice, estimate, megabytes
    from linewatch_agent.plan_file import read_plan
    from linewatch_agent.watcher import load_line_ids

    plan = read_plan(options.config)
    lines = find_lines(plan.config, load_line_ids(DEFAULT_STATE))
    print(f"{options.config} is right: {len(plan.targets)} targets")
    for line, use in estimate(plan.config, plan.targets, lines).items():
        print(
            f"  {line}: up to {use.records_per_day:,} records a day, "
            f"{megabytes(use.bytes_per_month)} MB a month"
        )
    for sentence in advice(plan.config, plan.targets, lines):
        print(f"  note: {sentence}")
    return 0


def _example_config(_: argparse.Namespace) -> int:
    from linewatch_agent.config_file import default_config_text

    print(default_config_text(), end="")
    return 0


def _status(options: argparse.Namespace) -> int:
    from linewatch_agent.status import NotRunningError, ask
    from linewatch_agent.status_words import in_words, stopped_in_words
    from linewatch_agent.store.database import StoreError
    from linewatch_agent.store.peek import peek

    try:
        status = ask(options.state)
    except NotRunningError as error:
        try:
            kept = peek(options.state)
        except StoreError:
            raise error from None
        store = {"committed": kept.committed, "backlog": kept.backlog, "bytes": kept.bytes}
        if options.json:
            print(json.dumps({"running": False, "store": store}, indent=2))
        else:
            print(stopped_in_words(store))
        print(f"linewatch-agent: {error}", file=sys.stderr)
        return 1
    print(json.dumps(status, indent=2) if options.json else in_words(status))
    return 0
