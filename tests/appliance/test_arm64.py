"""The release on aarch64, the Raspberry Pi's, emulated by qemu-user."""

import contextlib
import json
import subprocess
from pathlib import Path

import pytest

from linewatch_agent.identity.enrol import prepare_from
from linewatch_agent.identity.identity import Identity
from linewatch_agent.store.keys import SigningKeys
from linewatch_agent.store.store import open_store
from linewatch_agent.store.values import Owner, StoreLimits
from linewatch_core.errors import LinewatchError
from linewatch_core.ids import Epoch
from linewatch_core.records import Stream
from linewatch_core.segment.parcel import read_parcel
from linewatch_core.segment.sealing import RecipientKey
from linewatch_core.segment.segment import parse_segment, verify_signature
from linewatch_server.fleet import enrolment
from tests.appliance.arm64 import AGENT, arm_release, command
from tests.support.broker import init_server, utc_now
from tests.support.probe import samples
from tests.support.segments import BOOT

SAMPLES = 40


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout's release for aarch64."""
    return arm_release(tmp_path_factory.mktemp("arm64"))


def test_every_module_is_imported_and_the_self_test_passes(release: Path, tmp_path: Path) -> None:
    """Nothing is wrong; the echo alone can't be tried, since qemu lacks one of its options."""
    state = tmp_path / "state"
    state.mkdir()
    line = command(release, state, AGENT, "self-test", "--json")
    done = subprocess.run(line, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    found = {one["topic"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["machine"]["text"].startswith("aarch64, Python 3.13.")
    levels = {topic: one["level"] for topic, one in found.items()}
    assert levels | {"echo": "any"} == {
        **dict.fromkeys(("machine", "imports", "records", "identity", "loopback"), "ok"),
        "echo": "any",
    }
    assert list(state.iterdir()) == []


def test_a_store_that_was_written_here_is_exported_there(release: Path, tmp_path: Path) -> None:
    """Neither the store nor the keys depend on the machine; the server could read each segment.

    The whole agent can't run in qemu-user, which lacks the call that tells a device's state.
    """
    layout = init_server(tmp_path / "server")
    token = tmp_path / "token.toml"
    token.write_text(enrolment.enrol(layout.directory, label="x", now=utc_now()))
    state = tmp_path / "state"
    identity = prepare_from(token, state)
    keys = write_store(identity, state)
    line = command(release, state, AGENT, "export", "/var/lib/linewatch/stick", "--all")
    done = subprocess.run(line, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    segments = []
    for path in (state / "stick").rglob("*"):
        for item in read_parcel(path.read_bytes()).items if path.is_file() else ():
            with contextlib.suppress(LinewatchError):
                segments.append(parse_segment(item))
    for segment in segments:
        verify_signature(segment, keys.current.public)
    (raw,) = [one.header for one in segments if one.header.stream is Stream.RAW]
    assert (raw.first_seq, raw.last_seq) == (1, SAMPLES)


def write_store(identity: Identity, state: Path) -> SigningKeys:
    """Keep some samples as the agent of this machine would; return the keys."""
    keys = SigningKeys.open(
        state,
        probe=identity.probe,
        first_seed=identity.take_first_seed,
        boot=BOOT,
        now_ms=1_000,
    )
    store = open_store(
        state,
        owner=Owner(identity.probe, BOOT, tuple(map(RecipientKey, identity.recipients))),
        new_epoch=Epoch("0011223344556677"),
        keys=keys,
        limits=StoreLimits(free_bytes_min=0),
        now_ms=1_000,
    )
    store.commit(samples(1, SAMPLES), now_ms=2_000, safe_ms=2_000)
    store.stop(now_ms=2_000)
    store.close()
    return keys
