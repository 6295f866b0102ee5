"""Makes the index anew from the archive, and opens it for the server.

The new index is built beside the old one and takes its place once it is whole:
a crash in between leaves the old one, or none, and both mend themselves at the
next start. Needs no key of a probe; without a recipient key the records stay sealed.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path

import structlog

from linewatch_server.archive.reader import Archive
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.database import INDEX_NAME, IndexOutdatedError
from linewatch_server.index.opening import Opener
from linewatch_server.index.writer import Index, Outcome

log = structlog.get_logger()

_DRAFT_NAME = "index.new.sqlite"


def rebuild(
    directory: Path,
    *,
    recipient_secrets: Sequence[bytes] = (),
    archive: Archive | None = None,
) -> Counter[Outcome]:
    """Replace DIR's index by a replay of its archive; return how many entries met each outcome.

    Args:
        recipient_secrets: X25519 private keys to open segments with; none is fine.
        archive: the archive, if the caller has it open; else it is opened here for
            writing, so that no server may run meanwhile.
    Raises:
        ArchiveLockedError: a server is running on DIR.
        ArchiveDamagedError: the archive does not read; the old index is left as it was.
    """
    with nullcontext(archive) if archive else ArchiveWriter(directory) as source:
        _remove(directory / _DRAFT_NAME)
        draft = Index(directory, source, Opener(recipient_secrets), name=_DRAFT_NAME)
        with closing(draft):
            outcomes = draft.catch_up(on_pack=_tell_progress(source))
        _settle(directory / _DRAFT_NAME)
        _remove(directory / INDEX_NAME)
        (directory / _DRAFT_NAME).rename(directory / INDEX_NAME)
    return outcomes


def open_index(
    directory: Path, archive: Archive, *, recipient_secrets: Sequence[bytes] = ()
) -> tuple[Index, Counter[Outcome]]:
    """Open DIR's index and bring it up to the archive; rebuild it first if it must be.

    That is the case for another release's index, a damaged one, and one that is
    ahead of an archive restored from a backup. It takes minutes for each full pack of the
    archive, and the log says how far it is.

    Returns:
        The index, and how many entries were applied to it by outcome.
    Raises:
        ArchiveDamagedError: the archive does not read.
    """
    opener = Opener(recipient_secrets)
    try:
        with ExitStack() as on_failure:
            index = Index(directory, archive, opener)
            on_failure.callback(index.close)
            outcomes = index.catch_up()
            on_failure.pop_all()
            return index, outcomes
    except (IndexOutdatedError, sqlite3.DatabaseError) as error:
        log.warning("index_is_made_anew", reason=str(error), packs=len(archive.packs()))
    outcomes = rebuild(directory, recipient_secrets=recipient_secrets, archive=archive)
    return Index(directory, archive, opener), outcomes


def _tell_progress(archive: Archive) -> Callable[[int], None]:
    packs = len(archive.packs())
    return lambda pack: log.info("index_reads_archive", pack=pack, packs=packs)


def _settle(path: Path) -> None:
    """Put everything into the one file, so that it can be renamed."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
