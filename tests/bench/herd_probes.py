"""Part of the herd bench: a process with many probes, each a real uplink with a real machine.

Their stores are made up: segments sealed and signed beforehand, in memory. The blocks'
plaintext is the same for all, so it is encoded once.
"""

import asyncio
import json
import resource
import sys
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from nacl.signing import VerifyKey

from linewatch_agent import clock
from linewatch_agent.mqtt.client import LineClient
from linewatch_agent.mqtt.fleet_tls import tls_context
from linewatch_agent.mqtt.opening import open_socket
from linewatch_agent.plan.endpoint import parse_endpoint
from linewatch_agent.uplink import uplink
from linewatch_agent.uplink.backend import LoadedSegment
from linewatch_agent.uplink.way_order import Way
from linewatch_core.ids import Epoch, ProbeId
from linewatch_core.records import Record, Stream
from linewatch_core.segment import sealing
from linewatch_core.segment.chain import CHAIN_START, head_after
from linewatch_core.segment.codec import encode_block, mono_range_ms
from linewatch_core.segment.sealing import BlockSealer, FrameContext, RecipientKey, new_block_key
from linewatch_core.segment.segment import build_segment, parse_segment
from linewatch_core.segment.signing import key_id
from linewatch_core.sync.messages import Ack, Heads, Status, StreamAck
from linewatch_core.sync.upload_talk import Held
from linewatch_core.sync.uploader import Uploader
from tests.support.probes import boot_id
from tests.support.records import realistic_events, realistic_rolls, realistic_samples
from tests.support.segments import derived_bytes, signing_key

PER_SEGMENT = 200
CONNACKS: list[float] = []


@dataclass
class HerdBackend:
    """The rest of one probe."""

    probe: ProbeId
    machine: Uploader
    way: Way
    key: str
    kept: bytes | None
    epoch: str
    segments: dict[Stream, list[LoadedSegment]] = field(default_factory=dict)
    conn: int = 0

    def ways(self) -> list[Way]:
        """Return the one way."""
        return [self.way]

    async def next_conn(self) -> int:
        """Count a connection."""
        self.conn += 1
        return self.conn

    def status(self, conn: int, *, state: Any) -> Status:
        """Return a status."""
        held = self.machine.held_bounds()
        return Status(state=state, conn=conn, epoch=self.epoch, version="bench", held=held)

    def newest_key(self) -> str:
        """Return the id of the one key."""
        return self.key

    def key_messages(self, known_key: str | None) -> list[bytes]:
        """Return none: the root key is enrolled."""
        return []

    async def load(self, stream: Stream, seq: int) -> LoadedSegment | None:
        """Return the segment that holds `seq`."""
        known = self.segments[stream]
        return known[bisect_right(known, seq, key=lambda segment: segment.first) - 1]

    async def check_heads(self, heads: Heads) -> None:
        """Find nothing wrong."""

    def old_stores(self) -> None:
        """Have none."""

    async def next_old(self) -> None:
        """Have none."""

    async def save_ack(self, stream: Stream, ack: StreamAck) -> None:
        """Keep nothing: the machine knows."""

    def server_time(self, ack: Ack, *, birth_sent_s: float) -> None:
        """Take no time."""

    def traffic(
        self, line: str | None, *, bytes_out: int, bytes_in: int, opening: bool = False
    ) -> None:
        """Count nothing."""

    def recall(self) -> bytes | None:
        """Return the spread of the last connection: all were connected before."""
        return self.kept

    async def remember(self, memory: bytes) -> None:
        """Keep it."""
        self.kept = memory


class Timed(LineClient):
    """Notes when the broker said welcome."""

    def _on_connect(self, *args: Any, **named: Any) -> None:
        CONNACKS.append(time.time())
        super()._on_connect(*args, **named)


def segments_of(
    backend: HerdBackend,
    label: str,
    recipient: RecipientKey,
    blocks: dict[Stream, list[list[Record]]],
) -> None:
    """Seal and sign the backlog of one probe."""
    signer = signing_key(label)
    for stream, commits in blocks.items():
        head = CHAIN_START
        backend.segments[stream] = []
        for at, records in enumerate(commits):
            context = FrameContext(backend.probe, Epoch(backend.epoch), stream, boot_id("herd"))
            name = f"{label} {stream} {at}"
            own_key = new_block_key(derived_bytes(name), [recipient], [derived_bytes(name + " e")])
            sealer = BlockSealer(own_key, context)
            first_ms, last_ms = mono_range_ms(records)
            raw = build_segment(
                context,
                sealer.wraps,
                [sealer.seal(records)],
                head=head,
                mono_first_ms=first_ms,
                mono_last_ms=last_ms,
                key=signer,
            )
            head = head_after(parse_segment(raw).header)
            backend.segments[stream].append(LoadedSegment(records[0].seq, records[-1].seq, raw))
            held = Held(stream, records[0].seq, records[-1].seq)
            backend.machine.handle(held, clock.mono_s())


def _blocks(raw: int, roll: int, ev: int) -> dict[Stream, list[list[Record]]]:
    made = {
        Stream.EV: realistic_events(ev, 1),
        Stream.ROLL: realistic_rolls(roll, 1),
        Stream.RAW: realistic_samples(raw, 1),
    }
    return {
        stream: [all_[at : at + PER_SEGMENT] for at in range(0, len(all_), PER_SEGMENT)]
        for stream, all_ in made.items()
    }


def _encode_once() -> None:
    encode, known = encode_block, dict[int, bytes]()

    def cached(records: Any) -> bytes:
        if id(records) not in known:
            known[id(records)] = encode(records)
        return known[id(records)]

    module: Any = sealing
    module.encode_block = cached


async def run(plan: dict[str, Any]) -> None:
    """Build the probes, say `ready`, begin on a line of input, tell figures on each further one."""
    _encode_once()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    module: Any = uplink
    module.LineClient = Timed
    blocks = _blocks(plan["raw"], plan["roll"], plan["ev"])
    recipient = RecipientKey(bytes.fromhex(plan["recipient"]))
    way = Way(parse_endpoint(plan["endpoint"]), None, open_socket)
    folder = Path(plan["folder"])
    kept = json.dumps({"spread_s": plan["spread_s"]}).encode()
    herd: list[tuple[HerdBackend, uplink.Uplink]] = []
    for probe, label in plan["probes"]:
        machine = Uploader(epoch=derived_bytes(f"epoch {label}", 8).hex())
        epoch = machine._epoch
        key = key_id(signing_key(label).public)
        backend = HerdBackend(ProbeId(probe), machine, way, str(key), kept, epoch)
        segments_of(backend, label, recipient, blocks)

        def tls(probe: str = probe) -> Any:
            return tls_context(
                authority_pem=plan["authority"],
                certificate=folder / f"{probe}.crt",
                key=folder / f"{probe}.key",
            )

        driver = uplink.Uplink(
            probe=ProbeId(probe),
            machine=machine,
            backend=backend,
            ack_key=VerifyKey(bytes.fromhex(plan["ack_key"])),
            tls=tls,
            now_s=clock.mono_s,
        )
        herd.append((backend, driver))
    total = sum(len(s.data) for one in herd[0][0].segments.values() for s in one)
    print(json.dumps({"backlog_bytes_a_probe": total}), flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    tasks = [asyncio.create_task(driver.run()) for _, driver in herd]
    while await loop.run_in_executor(None, sys.stdin.readline):
        for task in tasks:
            if task.done():
                task.result()
        figures = {
            "connacks": CONNACKS,
            "connected": sum(driver.state.connected for _, driver in herd),
            "done": sum(backend.machine.backlog() == 0 for backend, _ in herd),
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(json.dumps(figures), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))
