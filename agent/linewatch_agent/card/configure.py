"""Write the configuration and the profiles of SIM cards that a card's file says. As root.

Done once for each content of the file, so that a change made on the probe stays.
Invariant: what was taken in is noted last, when all of it is on the disk.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from linewatch_agent.card.failed_pin import usable_sims
from linewatch_agent.card.files import CardError, CardFile
from linewatch_agent.card.report import Report
from linewatch_agent.durable import write_whole
from linewatch_agent.plan.card import Card, Sim, read_card
from linewatch_agent.plan.sim_profile import PREFIX, SUFFIX, profiles
from linewatch_agent.plan.target_choice import resolve_targets
from linewatch_agent.plan.toml_errors import ConfigError
from linewatch_agent.targets import load_target_sets

CONFIG_DIR = "etc/linewatch"
CONFIG = "linewatch.toml"
APPLIED = "card.sha256"
PROFILES_DIR = "etc/NetworkManager/system-connections"
STATE = "var/lib/linewatch"
_NOTE = "# From linewatch.toml on the card: change it there, and restart the probe.\n"


def configure(file: CardFile, root: Path, report: Report) -> None:
    """Write the configuration and the profiles, unless this file was taken in before.

    Args:
        root: what all but the card lies below.
    Raises:
        ConfigError: the file or a set of targets that it names is wrong; nothing is changed.
        CardError: the disk can't be written.
    """
    card = read_card(file.data, name=file.path.name)
    sets = _own_sets(card, file.path.parent)
    folder = root / CONFIG_DIR
    outputs = {
        folder / CONFIG: card.config_text.rstrip("\n").encode() + b"\n" + _NOTE.encode(),
        **{folder / name: data for name, data in sets.items()},
    }
    sims = _sims(card, root, report)
    secret = {root / PROFILES_DIR / name: text.encode() for name, text in profiles(sims).items()}
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


def _sims(card: Card, root: Path, report: Report) -> Sequence[Sim]:
    """Return the SIM cards, without the PINs if one failed: a PIN is never tried twice."""
    folders = {"config": root / CONFIG_DIR, "installed": root / PROFILES_DIR}
    try:
        sims, problem = usable_sims(card.sims, state=root / STATE, **folders)
    except OSError as error:
        raise CardError(f"cannot write below {root}: {error.strerror}") from error
    if problem is not None:
        report.problems.append(problem)
    return sims


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
