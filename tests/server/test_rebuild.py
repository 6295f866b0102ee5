"""Opening the index at a start: whatever a backup or an update left, it ends as the archive is."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.database import INDEX_NAME, SCHEMA_VERSION, IndexUnreadableError
from linewatch_server.index.queries import Queries
from linewatch_server.model.views import ProbeView
from linewatch_server.rebuild import open_index
from tests.support.probes import Item, ProbeWriter, boot_id, sample, store
from tests.support.segments import recipient_secret

SECRETS = (recipient_secret("fleet"),)
BOOT = boot_id("first")


def take(directory: Path, *items: Item) -> None:
    """Start a server on a directory, let it store that, and stop it."""
    with ArchiveWriter(directory) as archive:
        index, _ = open_index(directory, archive, recipient_secrets=SECRETS)
        with closing(index):
            index.apply(store(archive, *items))


def held(directory: Path) -> tuple[tuple[ProbeView, ...], int]:
    """Return what a started server says it holds: the fleet, and how many samples."""
    take(directory)
    ask = Queries(directory, recipient_secrets=SECRETS)
    fleet = ask.fleet()
    return fleet, sum(1 for view in fleet for _ in ask.samples(view.probe, None, 0, 2**53))


def _lose(directory: Path, _: Path) -> None:
    for path in directory.glob(INDEX_NAME + "*"):
        path.unlink()


def _put_back_index(directory: Path, copy: Path) -> None:
    _lose(directory, copy)
    shutil.copy2(copy / INDEX_NAME, directory)


def _put_back_archive(directory: Path, copy: Path) -> None:
    shutil.rmtree(directory / "archive")
    shutil.copytree(copy / "archive", directory / "archive")


@pytest.mark.parametrize(
    ("damage", "samples"),
    [(_lose, 2), (_put_back_index, 2), (_put_back_archive, 1)],
    ids=["index lost", "index older than the archive", "archive older than the index"],
)
def test_what_a_restore_mixed_up_is_mended_at_the_start(
    tmp_path: Path, damage: Callable[[Path, Path], None], samples: int
) -> None:
    """The index says what the archive holds, no more and no less; then the rest comes again."""
    directory, copy = tmp_path / "server", tmp_path / "copy"
    directory.mkdir()
    writer = ProbeWriter()
    first, second = (writer.close(BOOT, [sample(at)]) for at in (1_000, 2_000))
    take(directory, writer.enrolment(), first)
    shutil.copytree(directory, copy)
    take(directory, second)
    whole = held(directory)
    assert whole[1] == 2
    damage(directory, copy)
    assert held(directory)[1] == samples
    take(directory, second)
    assert held(directory) == whole


def test_an_index_of_another_release_is_made_anew_and_the_log_says_so(tmp_path: Path) -> None:
    """Who updates a server sees why its start takes long; until then a reader says what to do."""
    writer = ProbeWriter()
    take(tmp_path, writer.enrolment(), writer.close(BOOT, [sample(1_000)]))
    before = held(tmp_path)
    with closing(sqlite3.connect(tmp_path / INDEX_NAME)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
    ask = Queries(tmp_path)
    with pytest.raises(IndexUnreadableError, match="by the next start of the server, or by"):
        ask.fleet()
    with capture_logs() as logs:
        assert held(tmp_path) == before
    told = [(entry["event"], entry.get("pack")) for entry in logs]
    assert told == [("index_is_made_anew", None), ("index_reads_archive", 1)]
    assert f"its version is {SCHEMA_VERSION - 1}" in logs[0]["reason"]


@pytest.mark.parametrize("content", [None, b"no database, but longer than a page" * 500])
def test_an_index_that_is_not_there_or_damaged_is_said_in_one_line(
    tmp_path: Path, content: bytes | None
) -> None:
    """A command prints it; no reader makes an empty index by looking."""
    path = tmp_path / INDEX_NAME
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IndexUnreadableError, match="linewatch-server rebuild") as raised:
        Queries(tmp_path).fleet()
    assert "\n" not in str(raised.value)
    assert path.exists() == (content is not None)
