"""The command `linewatch-server`: init, run, enrol, revoke, fleet, samples, audit, release, …

Every error that a person can cause is one line on standard error that says what
to do, and exit code 1.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from linewatch_core.errors import LinewatchError, first_error

if TYPE_CHECKING:
    from linewatch_core.ids import ProbeId
    from linewatch_server.index.queries import Queries

DEFAULT_DIR = Path("/var/lib/linewatch-server")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    _set_up_logs()
    try:
        code: int = options.command(options)
    except LinewatchError as error:
        print(f"linewatch-server: {error}", file=sys.stderr)
        return 1
    except BaseExceptionGroup as group:
        if group.split(LinewatchError)[1] is not None:
            raise
        print(f"linewatch-server: {first_error(group)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `| head` has seen enough.
        sys.stderr.close()
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="linewatch-server", description="Keeps, shows and proves what the probes measured."
    )
    parser.add_argument("--version", action="version", version=version("linewatch"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    init = commands.add_parser("init", help="make a server's directory")
    init.add_argument("directory", type=Path, metavar="DIR")
    init.add_argument("--host", required=True, metavar="NAME", help="where probes find the server")
    init.add_argument("--mqtts-port", type=int, default=8883, metavar="PORT")
    init.add_argument("--wss-port", type=int, default=8443, metavar="PORT", help="0: none")
    init.add_argument("--web-port", type=int, default=8080, metavar="PORT")
    init.set_defaults(command=_init)

    _command(commands, "run", "run broker, ingest and pages until stopped", _run)
    _command(commands, "broker", "run only the broker, for settings that say external", _broker)

    enrol = _command(commands, "enrol", "print a one-time token file for a new probe", _enrol)
    enrol.add_argument("--label", default="probe", help="what you call it; stays on the server")
    enrol.add_argument("--days", type=int, default=30, help="how long the token can be used")

    revoke = _command(commands, "revoke", "stop believing a probe, and shut it out", _revoke)
    revoke.add_argument("--probe", required=True, metavar="ID")

    _command(commands, "fleet", "list the probes and what is stored of them", _fleet)

    samples = _command(commands, "samples", "print samples of a probe", _samples)
    samples.add_argument("--probe", required=True, metavar="ID")
    samples.add_argument("--line", metavar="L", help="default: all lines")
    samples.add_argument("--from", dest="begin", required=True, metavar="TIME", help="ISO 8601")
    samples.add_argument("--to", dest="end", required=True, metavar="TIME", help="ISO 8601")
    form = samples.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="as CSV (the default)")
    form.add_argument("--json", action="store_true", help="as JSON")

    quarantine = _command(
        commands, "quarantine", "print what of a probe is kept and not believed (JSON)", _quarantine
    )
    quarantine.add_argument("--probe", required=True, metavar="ID")

    _command(commands, "rebuild", "make the index anew from the archive", _rebuild)

    take = _command(commands, "import", "store what `linewatch-agent export` wrote", _import)
    take.add_argument("parcels", type=Path, metavar="PARCELS", help="the folder that was written")

    audit = _command(commands, "audit", "open everything stored of a probe and count it", _audit)
    audit.add_argument("--probe", required=True, metavar="ID")
    audit.add_argument("--json", action="store_true", help="as JSON")

    _add_release(commands)
    return parser


def _add_release(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    release = commands.add_parser("release", help="sign releases of the agent (no DIR needed)")
    steps = release.add_subparsers(required=True, metavar="STEP")
    key = steps.add_parser("key", help="make the key that releases are signed with")
    key.add_argument("file", type=Path, metavar="FILE", help="where to write it; keep it offline")
    key.set_defaults(command=_release_key)
    sign = steps.add_parser("sign", help="sign the archives that `make deb` made")
    sign.add_argument("archives", type=Path, nargs="+", metavar="ARCHIVE")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE")
    sign.add_argument("--into", type=Path, required=True, metavar="FILE", help="the manifest")
    sign.add_argument("--url", default="", help="of the archives' folder, if not the manifest's")
    sign.add_argument("--downgrade", action="store_true", help="replaces newer releases, too")
    sign.set_defaults(command=_release_sign)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    help_text: str,
    command: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """Add a command on a server's directory."""
    parser = commands.add_parser(name, help=help_text)
    parser.add_argument(
        "directory",
        type=Path,
        nargs="?",
        metavar="DIR",
        help=f"the server's directory; default: this one if it is one, else {DEFAULT_DIR}",
    )
    parser.set_defaults(command=command)
    return parser


def _directory(options: argparse.Namespace) -> Path:
    given: Path | None = options.directory
    if given is not None:
        return given
    return Path() if Path("server.toml").exists() else DEFAULT_DIR


def _set_up_logs() -> None:
    """Log to standard error, in logfmt: the journal adds the time."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _init(options: argparse.Namespace) -> int:
    from linewatch_server.init import init

    layout = init(
        options.directory,
        host=options.host,
        mqtts_port=options.mqtts_port,
        wss_port=options.wss_port,
        web_port=options.web_port,
    )
    print(f"Made {layout.directory}. Next: linewatch-server run {layout.directory}")
    print(f"{layout.recipient_key} opens all records: keep a copy of it elsewhere.")
    return 0


def _run(options: argparse.Namespace) -> int:
    from linewatch_server import app

    asyncio.run(app.run(_directory(options)))
    return 0


def _broker(options: argparse.Namespace) -> int:
    from linewatch_server import app

    asyncio.run(app.run_broker(_directory(options)))
    return 0


def _enrol(options: argparse.Namespace) -> int:
    from linewatch_server.fleet.enrolment import enrol

    token = enrol(
        _directory(options), label=options.label, now=datetime.now(UTC), days=options.days
    )
    print(token, end="")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from linewatch_core.ids import parse_probe_id
    from linewatch_server.fleet.enrolment import revoke

    probe, told = revoke(
        _directory(options), probe=parse_probe_id(options.probe), now=datetime.now(UTC)
    )
    print(f"{probe.probe} ({probe.label}) is no longer believed.")
    if not told:
        print("No broker of ours is running: restart an external one to shut the probe out.")
    return 0


def _fleet(options: argparse.Namespace) -> int:
    from linewatch_server.fleet.table import print_fleet

    print_fleet(_directory(options))
    return 0


def _samples(options: argparse.Namespace) -> int:
    from linewatch_core.ids import parse_probe_id
    from linewatch_server.exports.samples import write_csv, write_json
    from linewatch_server.model.when import parse_utc_ms
    from linewatch_server.settings import SetupError

    probe, begin, end = (
        parse_probe_id(options.probe),
        parse_utc_ms(options.begin),
        parse_utc_ms(options.end),
    )
    if begin >= end:
        raise SetupError("cannot use this range: --to must be later than --from")
    queries = _queries_of(options, probe)
    lines = [view.line for view in queries.lines(probe)]
    if options.line is not None and lines and options.line not in lines:
        raise SetupError(f"cannot show line {options.line}: expected {', '.join(lines)}")
    rows = queries.samples(probe, options.line, begin, end)
    (write_json if options.json else write_csv)(rows, sys.stdout)
    return 0


def _quarantine(options: argparse.Namespace) -> int:
    from linewatch_core.ids import parse_probe_id
    from linewatch_server.exports.quarantine import write_quarantine

    probe = parse_probe_id(options.probe)
    write_quarantine(probe, _queries_of(options, probe).opened_quarantine(probe), sys.stdout)
    return 0


def _queries_of(options: argparse.Namespace, probe: "ProbeId") -> "Queries":
    """Return questions on a directory that knows of a probe; else the error that says so."""
    from linewatch_server.fleet.keys import recipient_secrets
    from linewatch_server.index.queries import Queries
    from linewatch_server.settings import Layout, load_settings

    directory = _directory(options)
    load_settings(directory)
    queries = Queries(directory, recipient_secrets=recipient_secrets(Layout(directory)))
    if probe not in {view.probe for view in queries.fleet()}:
        raise _nothing_of(probe, directory)
    return queries


def _nothing_of(probe: "ProbeId", directory: Path) -> LinewatchError:
    from linewatch_server.settings import SetupError

    return SetupError(
        f"cannot show probe {probe}: nothing has arrived from it; "
        f"see them with: linewatch-server fleet {directory}"
    )


def _rebuild(options: argparse.Namespace) -> int:
    from linewatch_server.fleet.keys import recipient_secrets
    from linewatch_server.rebuild import rebuild
    from linewatch_server.settings import Layout, load_settings

    directory = _directory(options)
    load_settings(directory)
    done = rebuild(directory, recipient_secrets=recipient_secrets(Layout(directory)))
    told = ", ".join(f"{count} {outcome.value}" for outcome, count in sorted(done.items()))
    print(f"The index of {directory} is made anew: {told or 'the archive is empty'}.")
    return 0


def _import(options: argparse.Namespace) -> int:
    from linewatch_core.sync.ingestor import Decision
    from linewatch_server.importing import import_parcels

    done = import_parcels(_directory(options), options.parcels)
    print(
        f"{done.files} files: {done.decided[Decision.STORE]} segments stored, "
        f"{done.decided[Decision.DUPLICATE]} were here already, "
        f"{done.decided[Decision.QUARANTINE]} quarantined."
    )
    for told in done.damaged:
        print(f"damaged: {told}; what is whole in it was taken")
    if done.unreadable:
        print(f"{done.unreadable} items are damaged and were left out")
    for reason, count in sorted(done.refused.items()):
        print(f"{count} refused: {reason.value}")
    return 1 if done.damaged or done.unreadable or done.refused else 0


def _release_key(options: argparse.Namespace) -> int:
    from linewatch_server.releases import make_key

    public = make_key(options.file)
    print(f"{options.file} signs releases: keep it off this server, and a copy elsewhere.")
    print(f'For the probes: [update] key = "{public}"')
    return 0


def _release_sign(options: argparse.Namespace) -> int:
    from linewatch_server.releases import read_key, sign_release

    created_s = int(datetime.now(UTC).timestamp())
    manifest, signed = sign_release(
        options.archives,
        read_key(options.key),
        url=options.url,
        created_s=created_s,
        downgrade=options.downgrade,
    )
    options.into.write_bytes(signed)
    print(f"{options.into}: {manifest.version} for {', '.join(sorted(manifest.archives))}.")
    print("Publish it with the archives where the probes' [update] url leads.")
    return 0


def _audit(options: argparse.Namespace) -> int:
    import msgspec

    from linewatch_core.ids import parse_probe_id
    from linewatch_server.audit import Audit, audit
    from linewatch_server.fleet.keys import recipient_secrets
    from linewatch_server.settings import Layout, load_settings

    directory, probe = _directory(options), parse_probe_id(options.probe)
    load_settings(directory)
    found = audit(directory, probe, recipient_secrets=recipient_secrets(Layout(directory)))
    if found == Audit(probe, (), (), 0, 0):
        raise _nothing_of(probe, directory)
    if options.json:
        totals = {
            "stored": found.stored,
            "duplicates": found.duplicates,
            "missing": found.missing,
            "streams": found.streams,
            "gaps": found.gaps,
            "unverified": found.unverified,
            "quarantined": found.quarantined,
        }
        print(msgspec.json.encode(totals).decode())
    else:
        print(f"records stored      {found.stored}")
        print(f"stored again        {found.duplicates}")
        print(f"missing             {found.missing}")
        print(f"gaps told           {len(found.gaps)}")
        print(f"unverified segments {found.unverified}")
        print(f"quarantined         {found.quarantined}")
    return 0 if not found.missing and not found.duplicates else 1


if __name__ == "__main__":
    sys.exit(main())
