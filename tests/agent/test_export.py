"""A stick instead of a line: exported, imported, stored once, whatever else was sent."""

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest

from linewatch_agent.export_command import export
from linewatch_agent.export_socket import SOCKET_FILE, ExportServer, NoAnswerError, ask_for
from linewatch_agent.store.carrying import CarryError
from linewatch_agent.store.giving import Wanted, give
from linewatch_core.errors import LinewatchError
from linewatch_core.records import Stream
from linewatch_core.segment.parcel import read_parcel
from linewatch_core.sync import topics
from linewatch_core.sync.ingestor import Decision
from linewatch_core.sync.messages import StreamAck
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.fleet.registry import Registry
from linewatch_server.importing import Imported, ImportFolderError, import_parcels
from linewatch_server.ingest import Ingest, Message
from linewatch_server.rebuild import open_index
from tests.support.carried import Carried, with_new_key

THREE_DAYS = (77_760, 15_552, 200)
"""Of two lines: samples, five-minute counts, events."""


@pytest.fixture
def both(tmp_path: Path) -> Carried:
    """An enrolled probe and its server."""
    return Carried(tmp_path)


def carry(both: Carried) -> Imported:
    """Export what the server lacks, and import it."""
    export(both.state, both.stick, everything=False, damaged=False)
    return import_parcels(both.server, both.stick)


def sync(both: Carried) -> Ingest:
    """Send every segment that the probe holds to the server's ingest, as the uplink would."""
    registry = Registry(both.layout.registry)

    def root(probe: str) -> bytes | None:
        found = registry.probe(probe)
        return None if found is None else found.signing_key

    with ArchiveWriter(both.server) as archive:
        index, _ = open_index(both.server, archive)
        with closing(index):
            ingest = Ingest(archive, index, root_key=root)
            store, keys = both.open()
            messages = [
                Message(topics.keys(both.identity.probe), one, 1)
                for one in keys.messages_after(None)
            ]
            store.close()
            for stream, segments in both.segments().items():
                topic = topics.segments(both.identity.probe, stream)
                messages += [Message(topic, one, 1) for one in segments]
            ingest.take(messages, 0.0)
    return ingest


def told(both: Carried) -> tuple[int, int, int, int, int]:
    """Return records stored, stored again and missing, segments unverified and quarantined."""
    found = both.stored()
    return found.stored, found.duplicates, found.missing, found.unverified, found.quarantined


@pytest.mark.parametrize(
    "counts", [(7_776, 1_555, 200), pytest.param(THREE_DAYS, marks=pytest.mark.slow)]
)
def test_by_stick_then_by_line_is_stored_once(both: Carried, counts: tuple[int, int, int]) -> None:
    """All of it comes with the stick; what the sync sends afterwards is known already."""
    raw, roll, ev = counts
    both.measure(raw=raw, roll=roll, ev=ev)
    done = carry(both)
    assert done.decided.keys() == {Decision.STORE}
    assert (done.damaged, done.unreadable, done.refused) == ([], 0, {})
    assert told(both) == (raw + roll + ev, 0, 0, 0, 0)
    assert sync(both).counts.decided.keys() == {Decision.DUPLICATE}
    assert told(both) == (raw + roll + ev, 0, 0, 0, 0)


def test_by_line_then_by_stick_is_stored_once(both: Carried) -> None:
    """The probe never had the acks: the stick carries what is stored, and it is told as known."""
    both.measure(raw=1_000)
    sync(both)
    assert carry(both).decided.keys() == {Decision.DUPLICATE}
    assert told(both) == (1_000, 0, 0, 0, 0)


def test_what_is_acked_stays_at_home_unless_all_is_wanted(both: Carried) -> None:
    """And an export counts as no ack: the probe goes on sending."""
    both.measure(raw=1_000)
    store, _ = both.open()
    store.save_ack(Stream.RAW, StreamAck(600, ((201, 400),)), now_ms=1_000)
    store.stop(now_ms=1_000)
    store.close()
    assert export(both.state, both.stick, everything=False, damaged=False).items == 3
    assert export(both.state, both.stick, everything=True, damaged=False).items == 2
    assert export(both.state, both.stick, everything=True, damaged=False).items == 0
    store, _ = both.open()
    assert store.acks()[Stream.RAW] == StreamAck(600, ((201, 400),))
    store.close()


def test_a_power_cut_left_an_open_block_and_it_is_carried(both: Carried) -> None:
    """Its frames become a segment as the next start would make it; once, and signed anew."""
    both.measure(raw=130, stop=False)
    with_new_key(both)
    carry(both)
    assert told(both) == (130, 0, 0, 0, 0)
    assert sync(both).counts.decided.keys() == {Decision.DUPLICATE}


@pytest.mark.parametrize("syncs", range(1, 9))
def test_a_stick_pulled_out_holds_whole_files_and_the_next_run_completes(
    both: Carried, monkeypatch: pytest.MonkeyPatch, syncs: int
) -> None:
    """At any sync: what is there under its name is whole; nothing is written twice."""
    both.measure(raw=2_000)
    monkeypatch.setattr("linewatch_agent.store.carrying.PARCEL_BYTES", 3_000)
    real, left = os.fsync, syncs

    def pulled(descriptor: int) -> None:
        nonlocal left
        if "stick" in os.readlink(f"/proc/self/fd/{descriptor}"):
            left -= 1
            if left <= 0:
                raise OSError(5, "Input/output error")
        real(descriptor)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", pulled)
        with pytest.raises(CarryError, match=r"cannot export to .*: Input/output error; "):
            export(both.state, both.stick, everything=False, damaged=False)
    for path in both.stick.glob("*.parcel"):
        assert read_parcel(path.read_bytes()).damage is None
    if list(both.stick.glob("*.parcel")):
        import_parcels(both.server, both.stick)
    carry(both)
    assert told(both) == (2_000, 0, 0, 0, 0)
    assert not list(both.stick.glob("*.part"))
    whole = [read_parcel(path.read_bytes()) for path in both.stick.glob("*.parcel")]
    items = [item for parcel in whole for item in parcel.items]
    assert len(items) == len(set(items)) == 10


@pytest.mark.parametrize("at", [0, 2, 100, 1_500, -20, -1])
def test_a_damaged_file_is_told_and_the_rest_is_taken(both: Carried, at: int) -> None:
    """What is whole in it, too; exported again to the same stick, nothing is missing."""
    both.measure(raw=2_000)
    export(both.state, both.stick, everything=False, damaged=False)
    (path,) = both.stick.glob("*.parcel")
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)
    done = import_parcels(both.server, both.stick)
    assert [one.split(":")[0] for one in done.damaged] == [path.name]
    assert told(both)[3:] == (0, 0)
    assert carry(both).damaged == []
    assert told(both) == (2_000, 0, 0, 0, 0)


def test_a_cut_file_gives_what_stands_before_the_cut(both: Carried) -> None:
    """A file that some other program copied half."""
    both.measure(raw=2_000)
    export(both.state, both.stick, everything=False, damaged=False)
    (path,) = both.stick.glob("*.parcel")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = import_parcels(both.server, both.stick)
    assert len(done.damaged) == 1
    assert 600 <= told(both)[0] <= 1_200


async def test_a_running_agent_hands_out_its_segments(both: Carried) -> None:
    """Over its socket; the store is open all the while."""
    both.measure(raw=1_000)
    store, keys = both.open()

    async def items(wanted: Wanted):  # type: ignore[no-untyped-def]
        for item in give(store, keys, wanted):
            yield item

    serving = asyncio.create_task(ExportServer(both.state, items).run())
    async with asyncio.timeout(120):
        while not (both.state / SOCKET_FILE).exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        first = await asyncio.to_thread(
            export, both.state, both.stick, everything=False, damaged=False
        )
        again = await asyncio.to_thread(
            export, both.state, both.stick, everything=False, damaged=False
        )
    serving.cancel()
    store.close()
    assert (first.items, again.items) == (5, 0)
    import_parcels(both.server, both.stick)
    assert told(both) == (1_000, 0, 0, 0, 0)


async def test_an_agent_that_ends_in_the_middle_is_one_line(both: Carried) -> None:
    """What came before it is kept by whoever asked; it says to run the same again."""

    async def items(_: Wanted):  # type: ignore[no-untyped-def]
        yield b"x" * 100
        raise LinewatchError("the disk is full")

    serving = asyncio.create_task(ExportServer(both.state, items).run())
    async with asyncio.timeout(120):
        while not (both.state / SOCKET_FILE).exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        got: list[bytes] = []

        def take() -> None:
            got.extend(ask_for(both.state, Wanted()) or ())

        with pytest.raises(NoAnswerError, match="run the same again"):
            await asyncio.to_thread(take)
    serving.cancel()


def test_wrong_folders_are_one_line(both: Carried, tmp_path: Path) -> None:
    """A folder without parcels, a probe without records, the probe's own folder, a file."""
    with pytest.raises(ImportFolderError, match=r"no file \*\.parcel is there"):
        import_parcels(both.server, tmp_path)
    with pytest.raises(CarryError, match="has not measured anything"):
        export(both.state, both.stick, everything=False, damaged=False)
    both.measure(raw=10)
    with pytest.raises(CarryError, match="name another"):
        export(both.state, both.state, everything=False, damaged=False)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CarryError, match=r"cannot export to .*file"):
        export(both.state, tmp_path / "file", everything=False, damaged=False)


def test_a_probe_of_another_fleet_is_refused(both: Carried, tmp_path: Path) -> None:
    """Its parcels are told and leave no trace."""
    (tmp_path / "other").mkdir()
    other = Carried(tmp_path / "other")
    other.measure(raw=100)
    export(other.state, both.stick, everything=False, damaged=False)
    done = import_parcels(both.server, both.stick)
    assert (sum(done.decided.values()), sum(done.refused.values())) == (0, 1)
