"""What is quarantined can be looked at, and stays out of every figure."""

from hashlib import sha256
from pathlib import Path

import pytest

from linewatch_core.records import Sample, Stream
from linewatch_core.segment.segment import parse_segment
from linewatch_server.archive.reader import Archive
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.opening import Opener
from linewatch_server.index.queries import Queries
from linewatch_server.index.writer import Index
from linewatch_server.model.entries import EntryKind, Location, Quarantined, parse_quarantined
from linewatch_server.rebuild import rebuild
from tests.support.example_fleet import HOUR_MS, NOW_MS
from tests.support.probes import ProbeWriter, sample, store
from tests.support.two_stories import (
    ARRIVED_MS,
    FIRST,
    SECOND,
    SECRETS,
    START_MS,
    fill_two_stories,
)


@pytest.fixture
def probe(tmp_path: Path) -> ProbeWriter:
    """A probe with two stories at the server on `tmp_path`."""
    return fill_two_stories(tmp_path)


def test_both_stories_stand_side_by_side(tmp_path: Path, probe: ProbeWriter) -> None:
    """Each message tells when it came, when it was written down, and what is believed instead."""
    first, second = Queries(tmp_path).quarantined(probe.probe)
    assert "overlap" in first.reason
    assert first.arrival_ms == second.arrival_ms == ARRIVED_MS[1]
    assert first.signed
    assert second.signed
    told = first.segment
    assert told is not None
    assert (told.stream, told.first_seq, told.last_seq) == (Stream.RAW, 41, 80)
    assert told.boot == SECOND
    assert told.begins.middle_ms == pytest.approx(START_MS + HOUR_MS + 5_000, abs=100)
    [believed] = first.believed
    assert believed.arrival_ms == ARRIVED_MS[0]
    assert (believed.segment.first_seq, believed.segment.last_seq) == (41, 80)
    assert believed.segment.boot == FIRST
    assert believed.segment.begins.middle_ms == pytest.approx(START_MS + 1_205_000, abs=1_000)
    assert believed.segment.header_sha256 != told.header_sha256


def test_where_a_message_lies_is_where_the_archive_has_it(
    tmp_path: Path, probe: ProbeWriter
) -> None:
    """Pack, offset and hash lead anybody with the archive to the very bytes."""
    for view in Queries(tmp_path).quarantined(probe.probe):
        entry = Archive(tmp_path).read(Location(view.pack, view.offset))
        assert entry.kind is EntryKind.QUARANTINE
        data = parse_quarantined(entry.payload).data
        assert (len(data), sha256(data).hexdigest()) == (view.byte_count, view.sha256)


def test_its_records_open_like_any_other(tmp_path: Path, probe: ProbeWriter) -> None:
    """They come with the message that brought them, placed by the clock of their boot."""
    first, _ = Queries(tmp_path, recipient_secrets=SECRETS).opened_quarantine(probe.probe)
    assert first.unopened is None
    assert first.records is not None
    assert [record.seq for record in first.records] == list(range(41, 81))
    bodies = [record.body for record in first.records]
    assert all(isinstance(body, Sample) and body.failure for body in bodies)
    middle = first.records[0].at.middle_ms
    assert middle == pytest.approx(START_MS + HOUR_MS + 5_000, abs=100)


def test_without_a_key_it_says_that_it_is_sealed(tmp_path: Path, probe: ProbeWriter) -> None:
    """The list needs no key; the records do."""
    opened = list(Queries(tmp_path).opened_quarantine(probe.probe))
    assert [one.records for one in opened] == [None, None]
    assert {one.unopened for one in opened} == {"it is sealed to a key that is not here"}


def test_no_figure_counts_it(tmp_path: Path, probe: ProbeWriter) -> None:
    """Samples, strips and targets are those of the first story alone, also after a rebuild."""
    for _ in range(2):
        ask = Queries(tmp_path, recipient_secrets=SECRETS)
        rows = list(ask.samples(probe.probe, None, 0, 2**53))
        assert [row.seq for row in rows] == list(range(1, 121))
        assert not any(row.sample.failure for row in rows)
        drawn = ask.strips(START_MS, NOW_MS, 600_000)
        cells = [cell for row in drawn.rows for cell in row.cells]
        assert sum(cell.sent for cell in cells) == sum(cell.answered for cell in cells) == 120
        assert len(ask.quarantined(probe.probe)) == ask.fleet()[0].quarantined == 2
        rebuild(tmp_path, recipient_secrets=SECRETS)


def test_the_newest_come_alone_if_asked_for(tmp_path: Path, probe: ProbeWriter) -> None:
    """A page stays short, whatever a probe has sent."""
    ask = Queries(tmp_path)
    assert ask.quarantined(probe.probe, newest=1) == ask.quarantined(probe.probe)[1:]
    assert ask.quarantined(ProbeWriter("another").probe) == ()


def test_what_is_no_segment_or_not_signed_is_listed_and_not_opened(tmp_path: Path) -> None:
    """Bytes that anybody may have sent are told by their length and hash only."""
    writer, stranger = ProbeWriter(), ProbeWriter(store="stolen")
    forged = stranger.close(FIRST, [sample(1_000)])
    foreign = ProbeWriter("another").close(FIRST, [sample(1_000)])
    with ArchiveWriter(tmp_path) as archive:
        index = Index(tmp_path, archive, Opener(SECRETS))
        index.apply(store(archive, writer.enrolment()))
        entries = []
        for data in (b"no segment", forged, foreign):
            refused = Quarantined(writer.probe, "because", data)
            location = archive.append(EntryKind.QUARANTINE, refused.encode(), 7)
            entries.append((location, archive.read(location)))
        archive.sync()
        index.apply(entries)
        index.close()
    ask = Queries(tmp_path, recipient_secrets=SECRETS)
    opened = list(ask.opened_quarantine(writer.probe))
    assert [one.view.segment is None for one in opened] == [True, False, True]
    assert [one.view.byte_count for one in opened] == [10, len(forged), len(foreign)]
    assert {(one.view.signed, one.records, one.unopened) for one in opened} == {
        (False, None, "no known key of the probe signed it")
    }


def test_a_break_in_the_chain_names_the_segments_beside_it(tmp_path: Path) -> None:
    """Its numbers are free, but it follows on another segment than the one that is believed."""
    writer, fork = ProbeWriter(), ProbeWriter()
    kept = writer.close(FIRST, [sample(1_000)])
    fork.close(FIRST, [sample(2_000)])
    broken = fork.close(FIRST, [sample(3_000)])
    with ArchiveWriter(tmp_path) as archive:
        index = Index(tmp_path, archive, Opener(SECRETS))
        refused = Quarantined(writer.probe, "cannot chain", broken).encode()
        items = store(archive, writer.enrolment(), kept)
        location = archive.append(EntryKind.QUARANTINE, refused, 7)
        index.apply([*items, (location, archive.read(location))])
        index.close()
    [view] = Queries(tmp_path).quarantined(writer.probe)
    assert [one.segment.position for one in view.believed] == [0]
    assert view.segment is not None
    assert view.segment.position == parse_segment(broken).header.position == 1
