"""Over a real broker: what a store that was set aside holds goes after all else, one by one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linewatch_agent.mqtt.opening import open_socket
from linewatch_agent.store.database import STORE_FILE, StoreDamagedError
from linewatch_agent.store.old_stores import OldStores
from linewatch_agent.store.values import StoreLimits
from linewatch_agent.uplink import session
from linewatch_agent.uplink.way_order import Way
from linewatch_core.errors import MalformedError
from linewatch_core.records import Stream
from linewatch_core.segment.header import Header
from linewatch_core.segment.segment import parse_segment
from linewatch_core.sync.messages import StreamAck
from tests.support.broker import LocalServer, running_server
from tests.support.probe import NEXT_BOOT, Probe, bulky
from tests.support.segments import PROBE
from tests.support.uplinks import Scene, scene


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at old stores without the haste of a real probe."""
    monkeypatch.setattr(session, "OLD_WAIT_S", 0.01)
    monkeypatch.setattr(session, "OLD_STEP_S", 0.01)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server's directory with its broker running."""
    async with running_server(tmp_path / "server") as running:
        yield running


def set_aside(folder: Path) -> OldStores:
    """Return what a probe has of a store of three segments whose schema is lost."""
    probe = Probe(folder, limits=StoreLimits(block_records=20, free_bytes_min=0))
    for first in (1, 21, 41):
        probe.commit(*bulky(first, first + 19))
        probe.store.seal(Stream.RAW)
    probe.store.close()
    path = folder / STORE_FILE
    path.write_bytes(bytes(1024) + path.read_bytes()[1024:])
    after = Probe(folder, boot=NEXT_BOOT, epoch_label="another epoch")
    return OldStores(folder, probe=PROBE, keys=after.keys)


def old_ones(here: Scene) -> list[Header]:
    """Return the headers of the real segments that arrived."""
    found = []
    for data in here.segments():
        try:
            found.append(parse_segment(data).header)
        except MalformedError:
            continue  # The present store's are made up.
    return found


async def test_they_go_after_all_else_and_each_waits_for_its_ack(
    server: LocalServer, tmp_path: Path
) -> None:
    """The present store's backlog is first; nothing but an ack of the old epoch lets go on."""
    old = set_aside(tmp_path / "s")
    async with scene(server, tmp_path, [Way(server.mqtts, None, open_socket)]) as here:
        here.backend.old = old
        here.hold(1, 20)
        here.start()
        await here.until(here.statuses)
        await here.say(10, heads={Stream.RAW: ((10, "ab" * 32),)})
        await here.until(here.segments)
        assert here.backend.heads == [{Stream.RAW: ((10, "ab" * 32),)}]
        assert old_ones(here) == []
        await here.say(20, birth=False)
        for count in (1, 2, 3):
            await here.until(lambda count=count: len(old_ones(here)) == count)  # type: ignore[misc]
            last = old_ones(here)[-1]
            assert (last.first_seq, last.last_seq) == (20 * count - 19, 20 * count)
            acked = {Stream.RAW: StreamAck(last.last_seq)}
            await here.say(0, birth=False, epoch=last.epoch, streams=acked)
        await here.until(old.is_done)
        assert here.backend.machine.backlog() == 0


async def test_a_store_that_went_back_ends_the_agent(server: LocalServer, tmp_path: Path) -> None:
    """Not the session alone: only a new start can begin a new epoch. No ack of it is saved."""
    async with scene(server, tmp_path, [Way(server.mqtts, None, open_socket)]) as here:
        here.backend.forked = StoreDamagedError("it went back to an earlier state")
        here.hold(1, 10)
        here.start()
        await here.until(here.statuses)
        await here.say(10)
        task, here.task = here.task, None
        assert task is not None
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(120):
                await task
        assert caught.value.subgroup(StoreDamagedError) is not None
        assert here.backend.acks == []
