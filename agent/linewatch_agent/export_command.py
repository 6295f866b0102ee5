"""`linewatch-agent export`: what the server lacks, as files that a stick can carry.

Beside a running agent, which is asked for it, or alone. The files are sealed and
signed as what is sent: nobody reads them but the fleet's server. Nothing counts
as delivered by it, so it can be done as often as wanted.
"""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from linewatch_agent import clock
from linewatch_agent.export_socket import ask_for
from linewatch_agent.identity.identity import Identity, load_identity
from linewatch_agent.store.carrying import CarryError, ParcelFolder
from linewatch_agent.store.database import STORE_FILE
from linewatch_agent.store.giving import Wanted, give
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.opening import damaged_stores, lock_directory
from linewatch_agent.store.salvage import salvage
from linewatch_agent.store.store import Store, open_store
from linewatch_agent.store.values import Owner, StoreLimits
from linewatch_core.ids import EPOCH_RANDOM_BYTES, Epoch
from linewatch_core.records import Stream
from linewatch_core.segment.sealing import RecipientKey


@dataclass(frozen=True, slots=True)
class Exported:
    """How many segments and certificate messages were written, and in how many files."""

    items: int
    files: int


def export(state_dir: Path, folder: Path, *, everything: bool, damaged: bool) -> Exported:
    """Write to `folder` what it lacks; what is there is left as it is.

    Args:
        everything: also what the server has.
        damaged: also what can be read of stores that were set aside as damaged.
    Raises:
        LinewatchError: this machine is no probe, or a folder can't be used.
    """
    identity = load_identity(state_dir)
    if folder.resolve() == state_dir.resolve():
        raise CarryError(f"cannot export to {folder}: it is the probe's own folder; name another")
    parcels = ParcelFolder(folder, identity.probe)
    items = 0
    for item in _items(state_dir, identity, _wanted(parcels, everything=everything)):
        items += parcels.add(item)
    if damaged:
        for item in _salvaged(state_dir, identity):
            items += parcels.add(item)
    parcels.flush()
    return Exported(items, parcels.written)


def _wanted(parcels: ParcelFolder, *, everything: bool) -> Wanted:
    have: dict[str, dict[Stream, tuple[tuple[int, int], ...]]] = {}
    for (epoch, stream), seqs in parcels.have.items():
        have.setdefault(epoch, {})[stream] = tuple(seqs)
    return Wanted(everything, have)


def _items(state_dir: Path, identity: Identity, wanted: Wanted) -> Iterator[bytes]:
    """Yield from the running agent, or from the store if none runs."""
    running = ask_for(state_dir, wanted)
    if running is not None:
        yield from running
        return
    if not (state_dir / STORE_FILE).exists():
        raise CarryError(f"cannot export from {state_dir}: this probe has not measured anything")
    lock = lock_directory(state_dir)
    try:
        keys = _keys(state_dir, identity)
        store = _open(state_dir, identity, keys)
        try:
            yield from give(store, keys, wanted)
        finally:
            store.close()
    finally:
        os.close(lock)


def _salvaged(state_dir: Path, identity: Identity) -> Iterator[bytes]:
    keys = _keys(state_dir, identity)
    yield from keys.messages_after(None)
    for path in damaged_stores(state_dir):
        try:
            yield from salvage(path, probe=identity.probe, keys=keys)
        except OSError as error:
            raise CarryError(f"cannot read {path}: {error.strerror}") from error


def _keys(state_dir: Path, identity: Identity) -> SigningKeys:
    return SigningKeys.open(
        state_dir,
        probe=identity.probe,
        first_seed=identity.take_first_seed,
        boot=clock.boot_id(),
        now_ms=clock.mono_ms(),
    )


def _open(state_dir: Path, identity: Identity, keys: SigningKeys) -> Store:
    """Open the store as the next start of the agent would: a journal becomes segments."""
    recipients = tuple(map(RecipientKey, identity.recipients))
    return open_store(
        state_dir,
        owner=Owner(identity.probe, clock.boot_id(), recipients),
        new_epoch=Epoch(secrets.token_hex(EPOCH_RANDOM_BYTES)),
        keys=keys,
        limits=StoreLimits(),
        now_ms=clock.mono_ms(),
    )
