"""A release proves itself by a segment of its own that is durable at the server."""

import asyncio
from pathlib import Path

import pytest

from linewatch_agent.releases import outbox as outbox_module
from linewatch_agent.releases import proof as proof_module
from linewatch_agent.releases.outbox import Outbox
from linewatch_agent.releases.proof import Proof
from linewatch_core.records import Stream
from linewatch_core.sync.messages import StreamAck


def proof(folder: Path, *, on_trial: bool = True, installed: bool = True) -> Proof:
    """Return a proof that nothing was told yet."""
    return Proof(Outbox(folder / "update"), "1.2", on_trial=on_trial, installed=installed)


def proved(folder: Path) -> bool:
    """Return whether root was told."""
    file = folder / "update/proved"
    return file.exists() and file.read_text() == "1.2\n"


async def test_an_ack_of_an_own_segment_proves(tmp_path: Path) -> None:
    """An ack that reaches into what this run sealed proves it; one of older records does not."""
    one = proof(tmp_path)
    await one.acked(Stream.RAW, StreamAck(500))
    one.sealed(Stream.RAW, 101, 150)
    one.sealed(Stream.RAW, 151, 200)
    await one.acked(Stream.EV, StreamAck(500))
    await one.acked(Stream.RAW, StreamAck(100))
    await one.acked(Stream.RAW, StreamAck(150, ((90, 150),)))
    assert not proved(tmp_path)
    assert one.on_trial
    await one.acked(Stream.RAW, StreamAck(200, ((101, 150),)))
    assert proved(tmp_path)
    assert not one.on_trial


async def test_a_checkout_proves_nothing(tmp_path: Path) -> None:
    """An agent that no release of the probe's runs leaves its state folder alone."""
    one = proof(tmp_path, installed=False)
    one.sealed(Stream.RAW, 1, 10)
    await one.acked(Stream.RAW, StreamAck(10))
    assert not (tmp_path / "update").exists()


async def test_a_full_disk_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the word can't be written, the agent goes on, and the next ack proves as much."""
    one = proof(tmp_path)
    one.sealed(Stream.RAW, 1, 10)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(outbox_module, "write_whole", full)
        await one.acked(Stream.RAW, StreamAck(10))
    assert not proved(tmp_path)
    await one.acked(Stream.RAW, StreamAck(10))
    assert proved(tmp_path)


@pytest.mark.parametrize(("well", "ends"), [(True, True), (False, False)])
async def test_unproved_although_a_line_is_well_ends_the_agent(
    well: bool, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On trial, hours with a line that is well and no ack end the agent; an outage never does."""
    monkeypatch.setattr(proof_module, "LOOK_S", 0.001)
    monkeypatch.setattr(proof_module, "UNPROVED_S", 0.01)
    looked_often, ended = asyncio.Event(), asyncio.Event()
    looks = 0

    def is_well() -> bool:
        nonlocal looks
        looks += 1
        if looks == 50:
            looked_often.set()
        return well

    def end() -> None:
        ended.set()
        looked_often.set()

    running = asyncio.create_task(proof(tmp_path).run(is_well, end))
    async with asyncio.timeout(120):
        await looked_often.wait()
    running.cancel()
    assert ended.is_set() is ends
