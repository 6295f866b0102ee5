"""Is the probe set up: configuration, identity, certificate, keys, release?"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from linewatch_agent import clock
from linewatch_agent.doctor.findings import Finding, note, ok, problem
from linewatch_agent.doctor.host import Host
from linewatch_agent.identity.enrol import CLOCK_FLOOR
from linewatch_agent.identity.identity import EnrolmentError, Identity, load_identity
from linewatch_agent.plan.data_use import advice
from linewatch_agent.plan.line import Line
from linewatch_agent.plan_file import Plan
from linewatch_agent.releases.places import INBOX, PROVED_FILE, Places
from linewatch_agent.releases.shelf import Shelf
from linewatch_agent.releases.trial import TRIES_MAX, read_trial
from linewatch_agent.store.keys import KEYS_FILE

PROBLEM_FILE = "/boot/firmware/linewatch-problem.txt"
"""Where the first boot writes what it could not do with the volunteer's file."""
EXPIRES_SOON_S = 30 * 86_400


def configuration(plan: Plan, path: Path | None, lines: list[Line]) -> Iterator[Finding]:
    """Say which configuration applies, and what in it may not be meant."""
    source = "the defaults" if path is None else str(path)
    yield ok("configuration", f"{source}: {len(plan.targets)} targets")
    for sentence in advice(plan.config, plan.targets, lines):
        yield note("configuration", f"{sentence}.")


def first_boot(host: Host) -> Iterator[Finding]:
    """Pass on what the first boot could not do."""
    text = host.read(PROBLEM_FILE)
    if text:
        yield problem(
            "first boot",
            " ".join(text.split()),
            "mend the file on the boot partition, then: sudo systemctl restart linewatch-firstboot",
        )


def identity(host: Host) -> Iterator[Finding]:
    """Say whether this machine is a probe of a fleet, with a certificate that holds."""
    try:
        who = load_identity(host.state)
    except EnrolmentError as error:
        yield problem("identity", f"{error}.", "ask the operator for a token file, and enrol")
        return
    yield ok("identity", f"this machine is probe {who.probe}")
    yield from _certificate(who)
    yield from _secrets(host, who)


def _certificate(who: Identity) -> Iterator[Finding]:
    if not who.certificate_path.exists():
        text = "not here yet: it comes by itself once the server can be reached"
        yield note("certificate", text)
        return
    ends = _end_of(who.certificate_path)
    if ends is None:
        yield problem(
            "certificate", f"{who.certificate_path} is damaged", "enrol again with a new token"
        )
        return
    now = clock.utc_now()
    left_s = (ends - now).total_seconds()
    if now < CLOCK_FLOOR or left_s > EXPIRES_SOON_S:
        yield ok("certificate", f"good until {ends:%Y-%m-%d}")
    elif left_s > 0:
        text = f"ends on {ends:%Y-%m-%d}"
        yield note("certificate", text, "ask the operator for a new token before that day")
    else:
        text = f"ended on {ends:%Y-%m-%d}, by this computer's clock"
        yield problem("certificate", text, "ask the operator for a new token")


def _end_of(path: Path) -> datetime | None:
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None


def _secrets(host: Host, who: Identity) -> Iterator[Finding]:
    """Say whether the signing keys are there, and readable by nobody else."""
    keys = host.state / KEYS_FILE
    if not keys.exists() and not (who.folder / "signing.seed").exists():
        text = "the keys that sign what is measured are gone"
        yield problem("keys", text, f"enrol again with a new token after removing {who.folder}")
        return
    folders = (path for path in (host.state, who.folder) if path.stat().st_mode & 0o077)
    for open_to_all in folders:
        text = f"other users of this machine may look into {open_to_all}"
        yield problem("keys", text, f"sudo chmod 700 {open_to_all}")
        return
    yield ok("keys", "there, and closed to other users")


def release(host: Host) -> Iterator[Finding]:
    """Say which release is installed, and whether it has proved itself."""
    places = Places(host.root)
    if not places.opt.exists():
        yield note("release", "not installed from the package")
        return
    version = Shelf(places).current()
    if version is None:
        text = f"{places.current} leads to no whole release"
        yield problem("release", text, "sudo apt-get install --reinstall linewatch, or a new card")
        return
    running = None if host.status is None else host.status["version"]
    if running not in (None, version):
        text = f"{version} is installed, but {running} runs"
        yield problem("release", text, "sudo systemctl restart linewatch-agent")
        return
    trial = read_trial(places)
    if _text(host.state / INBOX / PROVED_FILE) == version:
        yield ok("release", f"{version}, and it has proved itself")
    elif trial is not None and trial.version == version:
        text = f"{version} is on trial: started {trial.tries} of {TRIES_MAX} times"
        yield note("release", f"{text}; after that {trial.previous} comes back by itself")
    else:
        text = f"{version}; the server has not acknowledged anything of it yet"
        yield note("release", text)


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
