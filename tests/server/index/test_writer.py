"""The index over real segments: each once, in any order, verified, opened or not."""

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from linewatch_core.ids import ProbeId
from linewatch_core.judging import CachedTruth, Hold, VerdictSettings
from linewatch_core.records import Anchor, AnchorSource, BootStarted, Record, Stream
from linewatch_core.segment.segment import parse_segment
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.audit import audit
from linewatch_server.index.database import IndexOutdatedError
from linewatch_server.index.opening import Opener
from linewatch_server.index.queries import Queries
from linewatch_server.index.writer import Index, Outcome
from linewatch_server.model.entries import EntryKind, Quarantined
from linewatch_server.rebuild import open_index, rebuild
from tests.support.probes import Item, ProbeWriter, boot_id, roll, sample, store
from tests.support.records import (
    realistic_events,
    realistic_rolls,
    realistic_samples,
    told_events,
)
from tests.support.segments import recipient_secret

T = TypeVar("T")
SECRETS = (recipient_secret("fleet"),)
BOOT = boot_id("first")
ARRIVAL = {"pack", "place", "arrival_ms"}


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[ArchiveWriter]:
    """Give an empty archive in the test's directory."""
    with ArchiveWriter(tmp_path) as writer:
        yield writer


@pytest.fixture
def index(tmp_path: Path, archive: ArchiveWriter) -> Iterator[Index]:
    """Give an empty index over it that holds the fleet's key."""
    opened = Index(tmp_path, archive, Opener(SECRETS))
    yield opened
    opened.close()


def bodies(records: list[Record]) -> list[object]:
    """Return the records' bodies."""
    return [record.body for record in records]


def history(writer: ProbeWriter) -> list[bytes]:
    """Return segments of all streams: events, 5 of samples that share windows, roll-ups."""
    events = writer.close(BOOT, bodies(realistic_events(60, 1)))  # type: ignore[arg-type]
    samples = bodies(realistic_samples(300, 2))
    raws = [writer.close(BOOT, samples[at : at + 60]) for at in range(0, 300, 60)]  # type: ignore[arg-type]
    return [events, writer.close(BOOT, bodies(realistic_rolls(54, 3))), *raws]  # type: ignore[arg-type]


def dump(directory: Path, *, with_arrival: bool = False) -> dict[str, list[tuple[object, ...]]]:
    """Return all tables' rows, sorted; without the columns that tell of the arrival."""
    db = sqlite3.connect(directory / "index.sqlite")
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    content = {}
    for table in sorted(set(tables) - (set() if with_arrival else {"meta"})):
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        kept = [c for c in columns if with_arrival or c not in ARRIVAL]
        content[table] = sorted(db.execute(f"SELECT {', '.join(kept)} FROM {table}"), key=repr)
    db.close()
    return content


def indexed(directory: Path, *items: Item) -> dict[str, list[tuple[object, ...]]]:
    """Return the index's content after the items arrived in this order."""
    directory.mkdir()
    with ArchiveWriter(directory) as archive:
        index = Index(directory, archive, Opener(SECRETS))
        for item in items:
            index.apply(store(archive, item))
        index.close()
    return dump(directory)


def test_a_stored_segment_is_covered_and_its_records_are_indexed(
    archive: ArchiveWriter, index: Index
) -> None:
    """Enrolment, then segments: the coverage is exact, per stream."""
    writer = ProbeWriter()
    outcomes = index.apply(store(archive, writer.enrolment(), *history(writer)))
    assert outcomes == {Outcome.KEYS: 1, Outcome.OPENED: 7}
    assert list(index.coverage(writer.probe, writer.epoch, Stream.RAW)) == [(1, 300)]
    assert list(index.coverage(writer.probe, writer.epoch, Stream.EV)) == [(1, 60)]
    assert list(index.coverage(writer.probe, writer.epoch, Stream.ROLL)) == [(1, 54)]


def decoded(column: object, kind: type[T]) -> T:
    """Return what a column holds as JSON."""
    assert isinstance(column, str)
    return msgspec.json.decode(column, type=kind)


def test_what_verdicts_rest_on_is_kept(
    tmp_path: Path, archive: ArchiveWriter, index: Index
) -> None:
    """Settings, truths and steps of saving are kept as they were told; a rebuild gives the same."""
    writer = ProbeWriter()
    told = [record.body for record in told_events()]
    index.apply(store(archive, writer.enrolment(), writer.close(BOOT, told)))
    tables = dump(tmp_path)
    (settings,) = (decoded(row[-1], VerdictSettings) for row in tables["configs"])
    assert settings.hold == Hold(2, 4, 60_000)
    truths = [decoded(row[-1], CachedTruth) for row in tables["truths"]]
    assert CachedTruth() in truths
    assert [truth.block_addresses for truth in truths if truth.age_ms] == [("10.10.34.34",)]
    assert [row[-2:] for row in tables["budget_steps"]] == [("modem-1", 2), ("modem-1", 0)]
    assert [row[-4:] for row in tables["modem_resets"]] == [("modem-1", "usb", "silent", 1)]
    assert {row[-1] for row in tables["line_changes"]} == {"Example Telecom", "99970"}
    rebuild(tmp_path, recipient_secrets=SECRETS, archive=archive)
    assert dump(tmp_path) == tables


def test_holes_show_until_they_are_filled(archive: ArchiveWriter, index: Index) -> None:
    """Ranges merge at both ends as the missing segments arrive."""
    writer = ProbeWriter()
    parts = [writer.close(BOOT, [sample(1000 * n), sample(1000 * n + 1)]) for n in range(5)]
    index.apply(store(archive, writer.enrolment(), parts[0], parts[2], parts[4]))

    def covered() -> list[tuple[int, int]]:
        return list(index.coverage(writer.probe, writer.epoch, Stream.RAW))

    assert covered() == [(1, 2), (5, 6), (9, 10)]
    index.apply(store(archive, parts[3]))
    assert covered() == [(1, 2), (5, 10)]
    index.apply(store(archive, parts[1]))
    assert covered() == [(1, 10)]


@pytest.mark.parametrize(
    ("order", "held"),
    [((0, 1, 2), [(1, 2)]), ((0, 2, 1), [(1, 1), (3, 3)]), ((2, 1, 0), [(1, 1), (3, 3)])],
)
def test_a_key_that_was_replaced_cannot_sign_again(
    archive: ArchiveWriter, index: Index, order: tuple[int, ...], held: list[tuple[int, int]]
) -> None:
    """Of neighbours whose keys are out of turn the one that came first stands, and shows it."""
    writer = ProbeWriter()
    enrolment, old = writer.enrolment(), writer.key
    parts = [writer.close(BOOT, [sample(1000)])]
    rotation = writer.rotate_key()
    parts.append(writer.close(BOOT, [sample(2000)]))
    writer.key = old
    parts.append(writer.close(BOOT, [sample(3000)]))
    outcomes = index.apply(store(archive, enrolment, rotation, *(parts[at] for at in order)))
    assert outcomes == {Outcome.KEYS: 2, Outcome.OPENED: 2, Outcome.QUARANTINED: 1}
    assert list(index.coverage(writer.probe, writer.epoch, Stream.RAW)) == held
    assert list(index.kept(writer.probe, writer.epoch, Stream.RAW)) == [(1, 3)]


def test_neighbours_are_the_headers_beside_a_position(archive: ArchiveWriter, index: Index) -> None:
    """The ingest gets what it needs to check the chain; what is not held is None."""
    writer = ProbeWriter()
    parts = [writer.close(BOOT, [sample(1000 * n)]) for n in range(3)]
    index.apply(store(archive, writer.enrolment(), parts[0], parts[2]))
    found = index.neighbours(writer.probe, writer.epoch, Stream.RAW, 1)
    assert found.before == parse_segment(parts[0]).header
    assert found.after == parse_segment(parts[2]).header
    ends = index.neighbours(writer.probe, writer.epoch, Stream.RAW, 0)
    assert (ends.before, ends.after) == (None, None)
    assert index.holds(parse_segment(parts[0]).header)
    assert not index.holds(parse_segment(parts[1]).header)


def test_what_arrives_twice_is_indexed_once(
    tmp_path: Path, archive: ArchiveWriter, index: Index
) -> None:
    """A duplicate in the archive changes no table; applying the same entries again neither."""
    writer = ProbeWriter()
    items: list[Item] = [writer.enrolment(), *history(writer)]
    entries = store(archive, *items)
    index.apply(entries)
    before = dump(tmp_path)
    assert index.apply(entries) == {}
    assert dump(tmp_path, with_arrival=True)["meta"]
    assert index.apply(store(archive, *items)) == {Outcome.KEYS: 1, Outcome.DUPLICATE: 7}
    assert dump(tmp_path) == before
    counted = audit(tmp_path, writer.probe, recipient_secrets=SECRETS)
    assert (counted.stored, counted.duplicates, counted.missing) == (414, 414, 0)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_the_order_of_arrival_does_not_matter(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Raw blocks before or after each other, events last: the same tables, byte for byte."""
    writer = ProbeWriter()
    enrolment, (events, rolls, *raws) = writer.enrolment(), history(writer)
    expected = indexed(tmp_path / "straight", enrolment, events, rolls, *raws)
    mixed = [raws[at] for at in order]
    assert indexed(tmp_path / "mixed", enrolment, *mixed, rolls, raws[4], events) == expected
    assert len(expected["rollups"]) > 40
    assert len(expected["anchors"]) > 20


def test_a_rebuild_ends_with_the_same_content(
    tmp_path: Path, archive: ArchiveWriter, index: Index
) -> None:
    """Dropping the index and replaying the archive gives every table again, places included."""
    one, two = ProbeWriter("one"), ProbeWriter("two", recipients=("somebody else",))
    rotation_first: list[Item] = [*history(one)[:2], one.rotate_key()]
    later = one.close(BOOT, [sample(900_000)])
    index.apply(store(archive, ProbeWriter("one").enrolment(), *rotation_first))
    index.apply(store(archive, later, *history(two), two.enrolment()))
    before = dump(tmp_path, with_arrival=True)
    index.close()
    outcomes = rebuild(tmp_path, recipient_secrets=SECRETS, archive=archive)
    assert outcomes[Outcome.OPENED] == 3
    assert outcomes[Outcome.SEALED] == 7
    assert dump(tmp_path, with_arrival=True) == before
    assert not list(tmp_path.glob("index.new*"))


def test_a_rebuild_needs_the_archive_for_itself(tmp_path: Path, archive: ArchiveWriter) -> None:
    """While a server writes the archive, a rebuild from outside is refused."""
    with pytest.raises(Exception, match="stop linewatch-server"):
        rebuild(tmp_path)


def test_an_index_catches_up_after_a_crash(tmp_path: Path, archive: ArchiveWriter) -> None:
    """What was archived and never applied is applied at the next start, in batches."""
    writer = ProbeWriter()
    parts = [writer.close(BOOT, [sample(1000 * n)]) for n in range(1200)]
    store(archive, writer.enrolment(), *parts)
    index, outcomes = open_index(tmp_path, archive, recipient_secrets=SECRETS)
    assert outcomes == {Outcome.KEYS: 1, Outcome.OPENED: 1200}
    assert list(index.coverage(writer.probe, writer.epoch, Stream.RAW)) == [(1, 1200)]
    assert index.catch_up() == {}
    index.close()


def test_an_index_ahead_of_a_restored_archive_is_rebuilt(tmp_path: Path) -> None:
    """After a restore of yesterday's archive the coverage goes back, so that acks do too."""
    writer = ProbeWriter()
    with ArchiveWriter(tmp_path) as archive:
        store(archive, writer.enrolment(), writer.close(BOOT, [sample(1000)]))
        yesterday = archive.pack_path(1).read_bytes()
        lost = writer.close(BOOT, [sample(2000)])
        index, _ = open_index(tmp_path, archive, recipient_secrets=SECRETS)
        index.apply(store(archive, lost))
        index.close()
    archive.pack_path(1).write_bytes(yesterday)
    with ArchiveWriter(tmp_path) as archive:
        ahead = Index(tmp_path, archive, Opener(SECRETS))
        with pytest.raises(
            IndexOutdatedError, match="the archive ends before what was applied last"
        ):
            ahead.catch_up()
        ahead.close()
        index, _ = open_index(tmp_path, archive, recipient_secrets=SECRETS)
        assert list(index.coverage(writer.probe, writer.epoch, Stream.RAW)) == [(1, 1)]
        index.close()


def test_a_damaged_or_foreign_index_is_rebuilt(tmp_path: Path, archive: ArchiveWriter) -> None:
    """A file that is no database, or another release's, is replaced by a replay."""
    writer = ProbeWriter()
    store(archive, writer.enrolment(), writer.close(BOOT, [sample(1000)]))
    (tmp_path / "index.sqlite").write_bytes(b"not a database, " * 400)
    index, outcomes = open_index(tmp_path, archive, recipient_secrets=SECRETS)
    assert outcomes[Outcome.OPENED] == 1
    index.close()
    other = sqlite3.connect(tmp_path / "index.sqlite")
    other.execute("PRAGMA user_version = 999")
    other.close()
    with pytest.raises(IndexOutdatedError, match="its version is 999"):
        Index(tmp_path, archive, Opener(SECRETS))
    index, outcomes = open_index(tmp_path, archive, recipient_secrets=SECRETS)
    assert outcomes[Outcome.OPENED] == 1
    index.close()


def test_a_failed_batch_leaves_no_trace(
    tmp_path: Path, archive: ArchiveWriter, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If anything raises in the middle, the whole batch is taken back and can be applied again."""
    writer = ProbeWriter()
    entries = store(archive, writer.enrolment(), *history(writer))
    empty = dump(tmp_path)

    def broken(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr("linewatch_server.index.bookkeeping.save_applied", broken)
        with pytest.raises(RuntimeError, match="power cut"):
            index.apply(entries)
    assert dump(tmp_path) == empty
    assert index.apply(entries)[Outcome.OPENED] == 7


def test_a_server_without_a_key_still_stores_and_covers(
    tmp_path: Path, archive: ArchiveWriter
) -> None:
    """Sealed to others, or no key here at all: headers only, counted as sealed."""
    writer = ProbeWriter()
    index = Index(tmp_path, archive, Opener())
    outcomes = index.apply(store(archive, writer.enrolment(), *history(writer)))
    index.close()
    assert outcomes[Outcome.SEALED] == 7
    (view,) = Queries(tmp_path).fleet()
    assert [(s.stream, s.records, s.sealed) for s in view.streams] == [
        (Stream.EV, 60, 60),
        (Stream.RAW, 300, 300),
        (Stream.ROLL, 54, 54),
    ]
    counted = audit(tmp_path, writer.probe)
    assert [s.unopened for s in counted.streams] == [60, 300, 54]


def test_records_that_cannot_be_true_make_a_segment_unreadable(
    tmp_path: Path, archive: ArchiveWriter, index: Index
) -> None:
    """Impossible counts or times are told and kept out of the tables, not guessed at."""
    writer = ProbeWriter()
    wrong = [
        writer.close(BOOT, [roll(1, answered=11)]),
        writer.close(BOOT, [sample(1000, rtt_us=4_000_000_000_000)]),
        writer.close(BOOT, [Anchor(5, -1, 5, AnchorSource.NTP)]),
    ]
    assert index.apply(store(archive, writer.enrolment(), *wrong))[Outcome.UNREADABLE] == 3
    assert dump(tmp_path)["rollups"] == []
    assert dump(tmp_path)["boots"] == []
    (view,) = Queries(tmp_path).fleet()
    assert [s.unreadable for s in view.streams] == [1, 1, 1]


def test_a_segment_waits_for_the_key_that_signed_it(archive: ArchiveWriter, index: Index) -> None:
    """Before its certificate arrives it is not covered; afterwards it is, without a new copy."""
    writer = ProbeWriter()
    enrolment, rotation = writer.enrolment(), writer.rotate_key()
    segment = writer.close(BOOT, [sample(1000)])
    second = writer.rotate_key()
    later = writer.close(BOOT, [sample(2000)])
    waiting = index.apply(store(archive, enrolment, segment, later, second))
    assert waiting == {Outcome.KEYS: 2, Outcome.UNVERIFIED: 2}
    assert not index.coverage(writer.probe, writer.epoch, Stream.RAW)
    assert index.newest_key_id(writer.probe) != writer.key.id
    assert index.apply(store(archive, rotation)) == {Outcome.KEYS: 1, Outcome.OPENED: 2}
    assert list(index.coverage(writer.probe, writer.epoch, Stream.RAW)) == [(1, 2)]
    assert index.newest_key_id(writer.probe) == writer.key.id
    assert index.signing_key(writer.probe, writer.key.id) == writer.key.public
    assert index.signing_key(ProbeId("aaaaaaaaaaaaaaaa"), writer.key.id) is None


def test_a_key_that_nobody_certified_is_never_trusted(archive: ArchiveWriter, index: Index) -> None:
    """A certificate by another key, or for another probe, adds no key."""
    writer, forger = ProbeWriter("one"), ProbeWriter("two")
    enrolment, forged = writer.enrolment(), forger.rotate_key()
    index.apply(store(archive, enrolment, forged))
    assert index.signing_key(writer.probe, forger.key.id) is None
    assert index.signing_key(forger.probe, forger.key.id) is None
    stolen = type(forged)(writer.probe, forged.message)
    assert index.apply(store(archive, stolen)) == {Outcome.QUARANTINED: 1}


def test_a_bad_signature_is_quarantined_and_never_counts_as_kept(
    tmp_path: Path, archive: ArchiveWriter, index: Index
) -> None:
    """What the probe did not sign frees nothing on the probe."""
    writer = ProbeWriter()
    enrolment, segment = writer.enrolment(), writer.close(BOOT, [sample(1000)])
    parsed = parse_segment(segment)
    at = parsed.header_bytes - 1
    forged = segment[:at] + bytes([segment[at] ^ 1]) + segment[at + 1 :]
    assert index.apply(store(archive, enrolment, forged)) == {
        Outcome.KEYS: 1,
        Outcome.QUARANTINED: 1,
    }
    assert not index.kept(writer.probe, writer.epoch, Stream.RAW)
    assert audit(tmp_path, writer.probe, recipient_secrets=SECRETS).unverified == 1


def test_an_overlap_is_quarantined_and_not_asked_for_again(
    tmp_path: Path, archive: ArchiveWriter, index: Index
) -> None:
    """A fork of a card: the first one stored stands, the other is kept and not believed."""
    writer, fork = ProbeWriter(), ProbeWriter()
    enrolment = writer.enrolment()
    kept = writer.close(BOOT, [sample(1000)])
    other = fork.close(BOOT, [sample(1000, target="shop"), sample(1001)])
    outcomes = index.apply(store(archive, enrolment, kept, other))
    assert outcomes[Outcome.QUARANTINED] == 1
    assert list(index.coverage(writer.probe, writer.epoch, Stream.RAW)) == [(1, 1)]
    assert list(index.kept(writer.probe, writer.epoch, Stream.RAW)) == [(1, 2)]
    counted = audit(tmp_path, writer.probe, recipient_secrets=SECRETS)
    assert [(s.stored, s.duplicates, s.conflicts) for s in counted.streams] == [(2, 0, 1)]


def test_what_the_ingest_quarantined_is_listed_and_kept(
    tmp_path: Path, archive: ArchiveWriter, index: Index
) -> None:
    """Signed by the probe: its numbers are not asked for again; anything else: only listed."""
    writer = ProbeWriter()
    index.apply(store(archive, writer.enrolment()))
    refused = [
        Quarantined(writer.probe, "cannot chain segment raw/0", writer.close(BOOT, [sample(1)])),
        Quarantined(writer.probe, "cannot read segment", b"no segment"),
    ]
    entries = []
    for item in refused:
        location = archive.append(EntryKind.QUARANTINE, item.encode(), 5)
        entries.append((location, archive.read(location)))
    assert index.apply(entries) == {Outcome.QUARANTINED: 2}
    assert list(index.kept(writer.probe, writer.epoch, Stream.RAW)) == [(1, 1)]
    assert not index.coverage(writer.probe, writer.epoch, Stream.RAW)
    assert Queries(tmp_path).fleet()[0].quarantined == 2


def test_entries_that_make_no_sense_stop_nothing(archive: ArchiveWriter, index: Index) -> None:
    """Bytes that are no segment, no keys and no enrolment are listed, and the batch goes on."""
    writer = ProbeWriter()
    entries = []
    for kind in (EntryKind.SEGMENT, EntryKind.KEYS, EntryKind.ENROLMENT, EntryKind.QUARANTINE):
        location = archive.append(kind, b"nonsense", 1)
        entries.append((location, archive.read(location)))
    entries += store(archive, writer.enrolment(), writer.close(BOOT, [BootStarted(1, "0.1.0")]))
    assert index.apply(entries) == {
        Outcome.QUARANTINED: 4,
        Outcome.KEYS: 1,
        Outcome.OPENED: 1,
    }


def test_a_second_card_of_a_probe_brings_its_own_root(archive: ArchiveWriter, index: Index) -> None:
    """The same probe id with a new store and key: both keep counting, the newest key is told."""
    old, new = ProbeWriter(store="card"), ProbeWriter(store="second card")
    items: list[Item] = [old.enrolment(), old.close(BOOT, [sample(1)])]
    items += [new.enrolment(), new.close(BOOT, [sample(9)])]
    assert index.apply(store(archive, *items))[Outcome.OPENED] == 2
    assert index.newest_key_id(old.probe) == new.key.id
    assert old.epoch != new.epoch
