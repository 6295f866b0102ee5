"""Take in what a person put on the card: configuration, SIM cards, token. Run as root.

It runs at every boot and by then does what is not done yet, so a corrected file works
as the first one would have. Each step is durable before the next; the token leaves the
card last, when the identity made from it is on the disk. Needs no line.
Source: docs/volunteer.md, docs/decisions/0020-first-boot.md.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from linewatch_agent import clock
from linewatch_agent.as_user import as_user, find_user
from linewatch_agent.card_files import (
    CONFIG_NAMES,
    TOKEN_NAMES,
    CardError,
    CardFile,
    find,
    remove,
    replace,
    tell,
)
from linewatch_agent.durable import write_whole
from linewatch_agent.identity import probe_key  # noqa: F401 - see below
from linewatch_agent.identity.enrol import token_of
from linewatch_agent.identity.identity import FOLDER, load_identity, prepare
from linewatch_agent.plan.card import Card, is_toml, read_card, token_in, without_token
from linewatch_agent.plan.card_text import text_of
from linewatch_agent.plan.sim_profile import PREFIX, SUFFIX, profiles
from linewatch_agent.plan.target_choice import resolve_targets
from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_agent.targets import load_target_sets
from linewatch_core.enrolment import decode_token
from linewatch_core.errors import LinewatchError, MalformedError

# All imports stand here: a child that became another user may not be able to read Python's
# own files, and `prepare` would import probe_key only then.

USER = "linewatch"
CONFIG_DIR = "etc/linewatch"
CONFIG = "linewatch.toml"
APPLIED = "card.sha256"
PROFILES_DIR = "etc/NetworkManager/system-connections"
STATE = "var/lib/linewatch"
_NOTE = "# From linewatch.toml on the card: change it there, and restart the probe.\n"
_NO_TOKEN = (
    "cannot join a fleet: there is no token on this card; ask the person who gave you the card "
    "for the file linewatch-token.toml and copy it beside linewatch.toml"
)


@dataclass(slots=True)
class Report:
    """What was done and what a person must mend, each a sentence."""

    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[[], None]) -> None:
        """Do a step; if it can't be done, note why and go on."""
        try:
            step()
        except LinewatchError as error:
            self.problems.append(_advised(error))


def first_boot(boot: Path, root: Path) -> Report:
    """Take in what is on the card, and say in its problem file what could not be.

    Args:
        boot: the card's first partition, as it is mounted.
        root: what all else lies below: `/`, or the root of an image.
    """
    report = Report()
    if not boot.is_dir():
        report.done.append(f"There is no {boot}: nothing to take in.")
        return report
    config = _found(boot, CONFIG_NAMES, report)
    token = _found(boot, TOKEN_NAMES, report)
    if config is not None:
        report.attempt(lambda: _configure(config, root, report))
    report.attempt(lambda: _join(config, token, root, report))
    report.attempt(lambda: tell(boot, report.problems))
    return report


def _found(boot: Path, names: tuple[str, ...], report: Report) -> CardFile | None:
    try:
        return find(boot, names)
    except CardError as error:
        report.problems.append(str(error))
        return None


def _configure(file: CardFile, root: Path, report: Report) -> None:
    """Write the configuration and the profiles, unless this file was taken in before."""
    card = read_card(file.data, name=file.path.name)
    sets = _own_sets(card, file.path.parent)
    folder = root / CONFIG_DIR
    outputs = {
        folder / CONFIG: card.config_text.rstrip("\n").encode() + b"\n" + _NOTE.encode(),
        **{folder / name: data for name, data in sets.items()},
    }
    secret = {
        root / PROFILES_DIR / name: text.encode() for name, text in profiles(card.sims).items()
    }
    digest = _digest({**outputs, **secret}, root)
    applied = folder / APPLIED
    taken_in = applied.is_file() and applied.read_text("ascii", "replace").strip() == digest
    if taken_in and all(path.is_file() for path in (*outputs, *secret)):
        return
    try:
        _write_all(outputs, mode=0o644, folder_mode=0o755)
        _write_all(secret, mode=0o600, folder_mode=0o700)
        for stale in (root / PROFILES_DIR).glob(f"{PREFIX}*{SUFFIX}"):
            if stale not in secret:
                stale.unlink()
        write_whole(applied, digest.encode() + b"\n", mode=0o644)
    except OSError as error:
        raise CardError(f"cannot write below {root}: {error.strerror}") from error
    mobile = f" and {len(secret)} profiles of SIM cards" if secret else ""
    report.done.append(f"Took in the configuration of {file.path.name}{mobile}.")


def _own_sets(card: Card, boot: Path) -> dict[str, bytes]:
    """Return the target sets that lie beside the file, once all of them are known to be right.

    Raises:
        ConfigError: one is missing or wrong, or they don't go together.
    """
    resolve_targets(card.config, load_target_sets(card.config.targets.sets, boot))
    beside = [name for name in card.config.targets.sets if name.endswith(".toml")]
    for name in beside:
        if "/" in name or name == CONFIG:
            raise ConfigError(f"target set {name!a}", "put the file beside linewatch.toml")
    return {name: (boot / name).read_bytes() for name in beside}


def _write_all(files: dict[Path, bytes], *, mode: int, folder_mode: int) -> None:
    for path, data in files.items():
        path.parent.mkdir(mode=folder_mode, parents=True, exist_ok=True)
        write_whole(path, data, mode=mode)


def _digest(files: dict[Path, bytes], root: Path) -> str:
    digest = hashlib.sha256()
    for path, data in sorted(files.items()):
        name = str(path.relative_to(root)).encode()
        digest.update(b"%d %b %d " % (len(name), name, len(data)) + data)
    return digest.hexdigest()


def _join(config: CardFile | None, file: CardFile | None, root: Path, report: Report) -> None:
    """Make the probe's identity from the token, then take the token off the card."""
    texts: dict[str, str] = {}
    if config is not None and (inside := token_in(config.data)) is not None:
        texts[config.path.name] = inside
    if file is not None and not file.empty:
        texts[file.path.name] = text_of(file.data, file.path.name)
    user = find_user(USER, root)
    state = root / STATE
    for name, text in texts.items():
        _make_state(state, user.uid, user.gid)
        report.done.append(as_user(user, partial(_enrol, text, name, state, clock.utc_now())))
    if not texts and as_user(user, partial(_probe, state)) == "":
        if config is None or is_toml(config.data):
            report.problems.append(_NO_TOKEN)
        return
    if file is not None:
        remove(file)
    if config is not None and config.path.name in texts:
        replace(config, without_token(config.data))


def _make_state(state: Path, uid: int, gid: int) -> None:
    """Make the state folder if the agent never ran; systemd keeps it so from then on."""
    if state.exists():
        return
    state.parent.mkdir(parents=True, exist_ok=True)
    new = state.with_name(f"{state.name}.new")
    new.mkdir(mode=0o700, exist_ok=True)
    if os.getuid() == 0:
        os.chown(new, uid, gid)
    new.rename(state)


def _enrol(text: str, name: str, state: Path, now: datetime) -> str:
    """Make the identity; done again with the same token it is the same, even if it expired."""
    known = _probe(state)
    try:
        if known and decode_token(text).probe == known:
            return f"This computer is probe {known}, which the token on the card was for."
    except MalformedError:
        pass
    if known:
        raise CardError(
            f"cannot use the token in {name}: this computer is probe {known} already and the "
            "token is for another; take it off the card, or write the card anew for a new probe"
        )
    identity = prepare(token_of(text, name=name, now=now), state)
    return f"This computer is probe {identity.probe} from now on."


def _probe(state: Path) -> str:
    """Return the id of the probe that this computer is; empty if it is none yet."""
    return load_identity(state).probe if (state / FOLDER).exists() else ""


def _advised(error: LinewatchError) -> str:
    """Return an error's words, with what to do where they only say what is wrong."""
    if isinstance(error, ConfigError) and error.key is None and "not TOML" in error.reason:
        return (
            f'{error}; write one `name = value` a line, text in straight quotes: apn = "internet"'
        )
    return str(error)
