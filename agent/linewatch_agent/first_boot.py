"""Take in what a person put on the card: configuration, SIM cards, token. Run as root.

It runs at every boot and by then does what is not done yet, so a corrected file works
as the first one would have. Each step is durable before the next; the token leaves the
card last, when the identity made from it is on the disk. Needs no line.
Source: docs/volunteer.md, docs/decisions/0020-first-boot.md.
"""

from pathlib import Path

from linewatch_agent.card.configure import configure
from linewatch_agent.card.files import (
    CONFIG_NAMES,
    TOKEN_NAMES,
    CardError,
    CardFile,
    find,
    formatted,
    tell,
)
from linewatch_agent.card.join import join
from linewatch_agent.card.report import Report


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
    if config is not None and config.empty:
        # An editor or a power cut leaves such a one; the probe keeps what it was told before.
        report.problems.append(f"cannot use {config.path.name}: it is empty; copy it again")
    elif config is not None:
        report.attempt(lambda: configure(config, root, report))
    report.problems += [
        f"cannot use {name}: it is a formatted document; save it as plain text, with a name that "
        "ends in .toml or .txt"
        for name in formatted(boot)
    ]
    report.attempt(lambda: join(config, token, root, report))
    report.attempt(lambda: tell(boot, report.problems))
    return report


def _found(boot: Path, names: tuple[str, ...], report: Report) -> CardFile | None:
    try:
        return find(boot, names)
    except CardError as error:
        report.problems.append(str(error))
        return None
