"""An enrolled probe and its server without a network between them: for what a stick carries.

The probe is real (identity, keys, store); the server's directory is what `init`
makes. Enrolment is answered in process.
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from nacl.signing import SigningKey

from linewatch_agent.identity.identity import Identity, prepare
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.store import Store, open_store
from linewatch_agent.store.values import Owner, StoreLimits
from linewatch_core.enrolment import decode_token
from linewatch_core.ids import BootId, Epoch
from linewatch_core.records import Body, Stream
from linewatch_core.segment.sealing import RecipientKey
from linewatch_server.audit import Audit, audit
from linewatch_server.fleet.enrolment import enrol
from linewatch_server.fleet.keys import recipient_secrets
from linewatch_server.fleet.registry import Registry
from linewatch_server.settings import Layout
from tests.support.broker import init_server
from tests.support.records import realistic_events, realistic_rolls, realistic_samples
from tests.support.segments import derived_bytes

BOOT = BootId(derived_bytes("carried boot", 16).hex())


@dataclass(slots=True)
class Carried:
    """The two ends, each in a folder of its own."""

    folder: Path
    layout: Layout = field(init=False)
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        """Init the server and enrol the probe."""
        self.layout = init_server(self.server)
        now = datetime.now(UTC)
        token = decode_token(enrol(self.server, label="carried", now=now))
        self.identity = prepare(token, self.state)
        Registry(self.layout.registry).complete(
            token.token,
            certificate="none is needed",
            serial=1,
            key_der=b"none",
            signing_key=self.identity.signing_public_key,
            now=now,
        )

    @property
    def server(self) -> Path:
        """The server's directory."""
        return self.folder / "server"

    @property
    def state(self) -> Path:
        """The probe's state folder."""
        return self.folder / "state"

    @property
    def stick(self) -> Path:
        """Where the probe exports to."""
        return self.folder / "stick"

    def open(self) -> tuple[Store, SigningKeys]:
        """Open the probe's store as the agent does."""
        keys = SigningKeys.open(
            self.state,
            probe=self.identity.probe,
            first_seed=self.identity.take_first_seed,
            boot=BOOT,
            now_ms=1_000,
        )
        store = open_store(
            self.state,
            owner=Owner(
                self.identity.probe, BOOT, tuple(map(RecipientKey, self.identity.recipients))
            ),
            new_epoch=Epoch(secrets.token_hex(8)),
            keys=keys,
            limits=StoreLimits(free_bytes_min=0),
            now_ms=1_000,
        )
        return store, keys

    def measure(self, *, raw: int, roll: int = 0, ev: int = 0, stop: bool = True) -> None:
        """Fill the store; without `stop`, the last block is left open as a power cut leaves it."""
        store, _ = self.open()
        now_ms = 1_000
        makers = ((realistic_events, ev), (realistic_rolls, roll), (realistic_samples, raw))
        for make, count in makers:
            bodies: list[Body] = [record.body for record in make(count, 1)]
            for at in range(0, count, 50):
                now_ms += 1
                store.commit(bodies[at : at + 50], now_ms=now_ms, safe_ms=now_ms)
                store.seal_due(now_ms=now_ms, live=False)
        if stop:
            store.stop(now_ms=now_ms)
        store.close()

    def segments(self) -> dict[Stream, list[bytes]]:
        """Return all segments that the store holds."""
        store, _ = self.open()
        found: dict[Stream, list[bytes]] = {stream: [] for stream in Stream}
        for one in store.held():
            seq = one.first
            while seq <= one.last:
                loaded = store.load(one.stream, seq)
                assert loaded is not None
                found[one.stream].append(loaded[1])
                seq = loaded[0].last + 1
        store.close()
        return found

    def stored(self) -> Audit:
        """Return what the server has of the probe: every segment opened and counted."""
        secret_keys = recipient_secrets(self.layout)
        return audit(self.server, self.identity.probe, recipient_secrets=secret_keys)


def with_new_key(carried: Carried) -> None:
    """Let the probe's next segments be signed with another key."""
    store, keys = carried.open()
    store.close()
    assert keys.rotate_if_due(boot=BOOT, now_ms=10**9, seed=lambda: bytes(SigningKey.generate()))
