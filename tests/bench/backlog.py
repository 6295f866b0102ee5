"""A probe with a backlog, for benches: the real store, filled, and the real uplink at work.

Runs inside a namespace. The store's records are of an earlier boot, so whatever is
sealed while the bench runs is live; the samples measured meanwhile are made up, at the
default pace of two lines with nine targets each.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from nacl.signing import VerifyKey

from linewatch_agent import clock
from linewatch_agent.agent_backend import AgentBackend
from linewatch_agent.identity.identity import Identity, load_identity
from linewatch_agent.mqtt.client import LineClient
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.plan.endpoint import parse_endpoint
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.store import Store, open_store
from linewatch_agent.store.values import Owner, StoreLimits
from linewatch_agent.store.writer import WriterThread
from linewatch_agent.timekeeper import Timekeeper
from linewatch_agent.uplink import uplink
from linewatch_core.ids import BootId, Epoch
from linewatch_core.records import Body, Record, Stream
from linewatch_core.segment.sealing import RecipientKey
from linewatch_core.sync.upload_talk import Held
from linewatch_core.sync.uploader import Uploader
from tests.support.records import realistic_events, realistic_rolls, realistic_samples

EARLIER = BootId("5e" * 16)
PERIOD_S = 30.0
PER_ROUND = 18
COMMIT = 60


@dataclass
class Told:
    """What the probe saw, in Unix ms, for whoever reads the archive afterwards."""

    connacks_ms: list[int] = field(default_factory=list)
    sealed_ms: dict[int, int] = field(default_factory=dict)
    """Of live `raw` segments, by their first seq."""
    backlog: dict[str, int] = field(default_factory=dict)
    """The last seq of each stream before the first connection."""
    ended_ms: int = 0


def _open(
    state: Path, boot: BootId, *, block_records: int = 200
) -> tuple[Store, SigningKeys, Identity]:
    identity = load_identity(state)
    keys = SigningKeys.open(
        state,
        probe=identity.probe,
        first_seed=identity.take_first_seed,
        boot=boot,
        now_ms=clock.mono_ms(),
    )
    identity.erase_first_seed()
    store = open_store(
        state,
        owner=Owner(identity.probe, boot, tuple(map(RecipientKey, identity.recipients))),
        new_epoch=Epoch(secrets.token_hex(8)),
        keys=keys,
        limits=StoreLimits(block_records=block_records, free_bytes_min=0),
        now_ms=clock.mono_ms(),
    )
    return store, keys, identity


async def fill(
    folder: str, raw: int, roll: int, ev: int, block_records: int = 200
) -> dict[str, int]:
    """Fill the store of an enrolled probe with so many records; return its bytes and segments."""
    store, _, _ = _open(Path(folder), EARLIER, block_records=block_records)
    makers: Sequence[tuple[Callable[..., list[Record]], int]] = (
        (realistic_events, ev),
        (realistic_rolls, roll),
        (realistic_samples, raw),
    )
    now_ms = 1_000
    for make, count in makers:
        bodies: list[Body] = [record.body for record in make(count, 1)]
        commit = min(COMMIT, block_records)
        for at in range(0, count, commit):
            now_ms += 1
            store.commit(bodies[at : at + commit], now_ms=now_ms, safe_ms=now_ms)
            store.seal_due(now_ms=now_ms, live=False)
    store.stop(now_ms=now_ms)
    counts = store.counts()
    store.close()
    return {"bytes": counts.bytes, "segments": counts.segments}


async def upload(folder: str, endpoint: str, seconds: float, out: str) -> None:
    """Run the uplink with live samples for so long, or until all of the backlog is acked."""
    state = Path(folder)
    store, keys, identity = _open(state, clock.boot_id())
    machine = Uploader(epoch=store.epoch)
    for held in store.held():
        machine.handle(Held(held.stream, held.first, held.last), clock.mono_s())
    told = Told(backlog={s.value: last for s, (_, last) in machine.held_bounds().items()})
    writer = WriterThread()
    backend = AgentBackend(
        store=store,
        writer=writer,
        keys=keys,
        machine=machine,
        timekeeper=Timekeeper(lambda _: None),
        lines=list,
        endpoints=[parse_endpoint(endpoint)],
        bound=False,
        version="bench",
    )
    driver = uplink.Uplink(
        probe=identity.probe,
        machine=machine,
        backend=backend,
        ack_key=VerifyKey(identity.ack_public_key),
        tls=lambda: tls_context(
            authority_pem=identity.authority_pem,
            certificate=identity.certificate_path,
            key=identity.key_path,
        ),
        now_s=clock.mono_s,
    )
    module: Any = uplink
    module.LineClient = _timed_client(told)
    tasks = [
        asyncio.create_task(driver.run()),
        asyncio.create_task(_measure(store, writer, driver, told)),
    ]
    backlog = {Stream(name): last for name, last in told.backlog.items()}
    deadline_s = clock.mono_s() + seconds
    while clock.mono_s() < deadline_s:
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.1)
        if all(machine.acked_count(stream) >= last for stream, last in backlog.items()):
            # Live samples go on for a while: their lag counts to the end.
            deadline_s = min(deadline_s, clock.mono_s() + 5)
    told.ended_ms = _utc_ms()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    Path(out).write_text(json.dumps(asdict(told)))  # noqa: ASYNC240


def _timed_client(told: Told) -> type[LineClient]:
    class Timed(LineClient):
        """Notes when the broker said welcome."""

        def _on_connect(self, *args: Any, **named: Any) -> None:
            told.connacks_ms.append(_utc_ms())
            super()._on_connect(*args, **named)

    return Timed


async def _measure(store: Store, writer: WriterThread, driver: uplink.Uplink, told: Told) -> None:
    """Commit a round of samples every 30 s, and close their blocks as the recorder does."""
    supply = iter(record.body for record in realistic_samples(100 * PER_ROUND, 2))
    next_round_s = clock.mono_s()
    while True:
        now_ms = clock.mono_ms()
        if clock.mono_s() >= next_round_s:
            next_round_s += PERIOD_S
            bodies = [
                msgspec.structs.replace(
                    next(supply), mono_ms=now_ms, slot_ms=now_ms, round_ms=now_ms
                )
                for _ in range(PER_ROUND)
            ]
            await writer.run(partial(store.commit, bodies, now_ms=now_ms, safe_ms=now_ms))
        live = driver.state.connected and driver.state.last_ack_s is not None
        sealed = await writer.run(partial(store.seal_due, now_ms=now_ms, live=live))
        for one in sealed:
            if one.stream is Stream.RAW:
                told.sealed_ms[one.first] = _utc_ms()
            driver.feed(Held(one.stream, one.first, one.last))
        await asyncio.sleep(1)


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
