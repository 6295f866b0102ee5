"""Make the probe's identity from the token on a card, then take the token off it. As root.

Invariant: at any moment the token is on the card, or the identity made from it is on the
disk. Needs no line: the certificate follows when the agent has one.
"""

import os
from datetime import datetime
from functools import partial
from pathlib import Path

from linewatch_agent import clock
from linewatch_agent.card.as_user import User, as_user, find_user
from linewatch_agent.card.files import CardError, CardFile, remove, replace
from linewatch_agent.card.report import Report
from linewatch_agent.identity.identity import FOLDER, load_identity, prepare
from linewatch_agent.plan.card import is_toml, token_in, without_token
from linewatch_agent.plan.card_text import text_of
from linewatch_core.enrolment import decode_token
from linewatch_core.errors import MalformedError

USER = "linewatch"
STATE = "var/lib/linewatch"
NO_TOKEN = (
    "cannot join a fleet: there is no token on this card; ask the person who gave you the card "
    "for the file linewatch-token.toml and copy it beside linewatch.toml"
)


def join(config: CardFile | None, token: CardFile | None, root: Path, report: Report) -> None:
    """Use the token that is in either file, and say what is missing if there is none.

    Raises:
        LinewatchError: the agent's user is missing, or its folder can't be made.
    """
    user = find_user(USER, root)
    state = root / STATE
    _make_state(state, user)
    inside = None if config is None else token_in(config.data)
    before = len(report.problems)
    if token is not None:
        report.attempt(lambda: _use_file(token, user, state, report))
    if config is not None and inside is not None:
        report.attempt(lambda: _use_part(config, inside, user, state, report))
    readable = config is None or is_toml(config.data)
    if len(report.problems) == before and readable and as_user(user, partial(_probe, state)) == "":
        report.problems.append(NO_TOKEN)


def _use_file(file: CardFile, user: User, state: Path, report: Report) -> None:
    if not file.empty:
        text = text_of(file.data, file.path.name)
        report.done.append(_become(text, file.path.name, user, state))
    remove(file)


def _use_part(file: CardFile, text: str, user: User, state: Path, report: Report) -> None:
    report.done.append(_become(text, file.path.name, user, state))
    replace(file, without_token(file.data))


def _become(text: str, name: str, user: User, state: Path) -> str:
    """Make the identity as the agent's user, and return a sentence for people."""
    # Here, since a start without a token need not load them; and before the child becomes
    # another user, who may not be able to read Python's own files.
    from linewatch_agent.identity import enrol, probe_key  # noqa: F401

    return as_user(user, partial(_enrol, text, name, state, clock.utc_now()))


def _make_state(state: Path, user: User) -> None:
    """Make the state folder if the agent never ran; systemd keeps it so from then on."""
    if state.exists():
        return
    state.parent.mkdir(parents=True, exist_ok=True)
    new = state.with_name(f"{state.name}.new")
    new.mkdir(mode=0o700, exist_ok=True)
    if os.getuid() == 0:
        os.chown(new, user.uid, user.gid)
    new.rename(state)


def _enrol(text: str, name: str, state: Path, now: datetime) -> str:
    """Make the identity; done again with the same token it is the same, even if it expired."""
    if known := _probe(state):
        try:
            probe = decode_token(text).probe
        except MalformedError as error:
            raise CardError(f"cannot enrol with {name}: {error}") from error
        if probe == known:
            return f"This computer is probe {known}, which the token on the card was for."
        raise CardError(
            f"cannot use the token in {name}: this computer is probe {known} already and the "
            "token is for another; take it off the card, or write the card anew for a new probe"
        )
    from linewatch_agent.identity.enrol import token_of

    identity = prepare(token_of(text, name=name, now=now), state)
    return f"This computer is probe {identity.probe} from now on."


def _probe(state: Path) -> str:
    """Return the id of the probe that this computer is; empty if it is none yet."""
    return load_identity(state).probe if (state / FOLDER).exists() else ""
