"""Becoming a probe: offline first, then over a real broker."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from linewatch_agent import clock
from linewatch_agent.identity import enrol
from linewatch_agent.identity.enrol import complete
from linewatch_agent.identity.identity import EnrolmentError, load_identity
from linewatch_core.enrolment import decode_token
from linewatch_core.ids import ProbeId
from linewatch_server.fleet import enrolment, keys
from tests.support.broker import LocalServer, init_server, running_server

NEEDED_AFTER = {"identity.json", "signing.seed", "tls.crt", "tls.key"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A server's directory with its broker running."""
    async with running_server(tmp_path / "server") as running:
        yield running


@pytest.fixture
def lone_token(tmp_path: Path) -> Path:
    """A token of a server that does not run."""
    layout = init_server(tmp_path / "server")
    path = tmp_path / "token.toml"
    path.write_text(enrolment.enrol(layout.directory, label="x", now=datetime.now(UTC)))
    return path


async def test_a_token_makes_a_probe(server: LocalServer, tmp_path: Path) -> None:
    """One command: the certificate is there, what only enrolment needed is not, all private."""
    token = server.write_token(tmp_path / "token.toml")
    async with server.answering():
        said = await enrol.enrol(token, tmp_path / "state")
    identity = load_identity(tmp_path / "state")
    assert said == f"This machine is probe {identity.probe}, and the server knows it."
    assert set(os.listdir(identity.folder)) == NEEDED_AFTER
    assert identity.folder.stat().st_mode & 0o777 == 0o700
    assert {f.stat().st_mode & 0o777 for f in identity.folder.iterdir()} == {0o600}
    assert identity.recipients == keys.read_recipients(server.layout)
    assert identity.ack_public_key == keys.read_ack_public_key(server.layout)
    registered = server.registry.probe(identity.probe)
    assert registered is not None
    seed = identity.take_first_seed()
    assert registered.signing_key == bytes(SigningKey(seed).verify_key)
    async with server.probe_client(identity):
        pass


async def test_without_a_server_everything_but_the_certificate_is_there(
    lone_token: Path, tmp_path: Path
) -> None:
    """A probe can measure, seal and sign before it was ever online."""
    said = await enrol.enrol(lone_token, tmp_path / "state")
    identity = load_identity(tmp_path / "state")
    assert "\n" not in said
    assert f"probe {identity.probe} and can measure from now on" in said
    assert "nothing listens at the server's address" in said
    assert not identity.certificate_path.exists()
    assert len(identity.take_first_seed()) == 32
    assert not await complete(tmp_path / "state", budget_s=1)


async def test_the_certificate_follows_when_the_server_is_back(
    server: LocalServer, tmp_path: Path
) -> None:
    """Enrolled while nobody answered, completed later, over the second endpoint."""
    token = server.write_token(tmp_path / "token.toml")
    text = token.read_text().replace(str(server.mqtts), "mqtts://127.0.0.1:1")
    token.write_text(text)
    state = tmp_path / "state"
    enrol.prepare_from(token, state)
    assert not await complete(state, budget_s=0.5)
    async with server.answering():
        assert await complete(state)
        assert await complete(state)
    assert set(os.listdir(state / "identity")) == NEEDED_AFTER


async def test_a_lost_reply_is_made_up_for(server: LocalServer, tmp_path: Path) -> None:
    """The server enrolled it, the answer did not arrive: asking again gets the same."""
    token = server.write_token(tmp_path / "token.toml")
    state, copy = tmp_path / "state", tmp_path / "copy"
    enrol.prepare_from(token, state)
    await asyncio.to_thread(_copy, state, copy)
    async with server.answering():
        assert await complete(state)
        assert await complete(copy)
    first, second = load_identity(state), load_identity(copy)
    assert first.certificate_path.read_bytes() == second.certificate_path.read_bytes()


def _copy(source: Path, target: Path) -> None:
    (target / "identity").mkdir(parents=True)
    for file in (source / "identity").iterdir():
        (target / "identity" / file.name).write_bytes(file.read_bytes())


async def test_a_token_used_by_another_machine_is_refused(
    server: LocalServer, tmp_path: Path
) -> None:
    """The second machine is told what to do, and its agent goes on measuring."""
    token = server.write_token(tmp_path / "token.toml")
    async with server.answering():
        await enrol.enrol(token, tmp_path / "first")
        with pytest.raises(EnrolmentError, match="token already used: ask the operator"):
            await enrol.enrol(token, tmp_path / "second")
        assert not await complete(tmp_path / "second")


async def test_the_same_token_again_changes_nothing(server: LocalServer, tmp_path: Path) -> None:
    """Whoever runs the command twice has the same probe."""
    token = server.write_token(tmp_path / "token.toml")
    async with server.answering():
        said = await enrol.enrol(token, tmp_path / "state")
        before = {f.name: f.read_bytes() for f in (tmp_path / "state" / "identity").iterdir()}
        assert await enrol.enrol(token, tmp_path / "state") == said
    assert {f.name: f.read_bytes() for f in (tmp_path / "state" / "identity").iterdir()} == before


async def test_another_token_does_not_overwrite_a_probe(
    server: LocalServer, tmp_path: Path
) -> None:
    """Replacing an identity is a decision, not an accident."""
    enrol.prepare_from(server.write_token(tmp_path / "a"), tmp_path / "state")
    with pytest.raises(EnrolmentError, match=r"this machine is probe [a-z2-7]{16} already"):
        enrol.prepare_from(server.write_token(tmp_path / "b"), tmp_path / "state")


async def test_an_expired_token_is_said(
    lone_token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By this computer's clock, unless that clock was never set."""
    late = datetime.now(UTC) + timedelta(days=31)
    monkeypatch.setattr(clock, "utc_now", lambda: late)
    with pytest.raises(EnrolmentError, match=r"the token expired on .* ask the operator"):
        await enrol.enrol(lone_token, tmp_path / "state")
    assert not (tmp_path / "state").exists()
    monkeypatch.setattr(clock, "utc_now", lambda: datetime(1970, 1, 1, tzinfo=UTC))
    _set_expires(lone_token, "1999-01-01T00:00:00Z")
    await enrol.enrol(lone_token, tmp_path / "state")


def _set_expires(token: Path, moment: str) -> None:
    lines = token.read_text().splitlines()
    lines = [f"expires = {moment}" if line.startswith("expires") else line for line in lines]
    token.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"hello", "not an enrolment token"),
        (b"\xff\xfe\x00", "not an enrolment token"),
        (b'format = "linewatch-token-1"\n', "is damaged"),
    ],
)
async def test_another_file_is_said(tmp_path: Path, data: bytes, said: str) -> None:
    """The file is named, in one line, and nothing is written."""
    path = tmp_path / "token.toml"
    path.write_bytes(data)
    with pytest.raises(EnrolmentError, match=said) as caught:
        await enrol.enrol(path, tmp_path / "state")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "state").exists()


async def test_a_missing_file_is_said(tmp_path: Path) -> None:
    """The commonest mistake."""
    with pytest.raises(EnrolmentError, match=r"cannot read .*: No such file or directory"):
        await enrol.enrol(tmp_path / "none.toml", tmp_path / "state")


def test_a_machine_that_is_no_probe_is_told_how(tmp_path: Path) -> None:
    """`run` before `enrol`."""
    with pytest.raises(EnrolmentError, match="run: linewatch-agent enrol TOKENFILE --state"):
        load_identity(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"probe":"\xff"}', b'{"probe": "x"}'])
async def test_a_damaged_identity_is_said(lone_token: Path, tmp_path: Path, damage: bytes) -> None:
    """With what to do about it."""
    enrol.prepare_from(lone_token, tmp_path)
    (tmp_path / "identity" / "identity.json").write_bytes(damage)
    with pytest.raises(
        EnrolmentError, match=r"it is damaged; remove .* and enrol with a new token"
    ):
        load_identity(tmp_path)


async def test_an_erased_seed_is_not_made_up(lone_token: Path, tmp_path: Path) -> None:
    """Once the store has the first signing key, the identity cannot give it again."""
    enrol.prepare_from(lone_token, tmp_path)
    identity = load_identity(tmp_path)
    identity.erase_first_seed()
    with pytest.raises(EnrolmentError, match="it was taken over before"):
        identity.take_first_seed()


async def test_a_certificate_for_somebody_else_is_not_kept(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confused server cannot make this probe another one."""
    token = server.write_token(tmp_path / "token.toml")
    other = await server.enrol_probe(tmp_path / "other")
    reply = b'{"certificate": %s}' % _json(other.certificate_path)
    monkeypatch.setattr(enrolment, "answer", lambda *_, **__: reply)
    async with server.answering():
        with pytest.raises(EnrolmentError, match="not a certificate for this probe"):
            await enrol.enrol(token, tmp_path / "state")
    assert not load_identity(tmp_path / "state").certificate_path.exists()


def _json(path: Path) -> bytes:
    return b'"' + path.read_bytes().replace(b"\n", b"\\n") + b'"'


async def test_a_revoked_token_is_refused(server: LocalServer, tmp_path: Path) -> None:
    """Revoked before it was used: the machine stays outside."""
    token = server.write_token(tmp_path / "token.toml")
    probe = ProbeId(decode_token(token.read_text()).probe)
    server.registry.revoke(probe, now=datetime.now(UTC))
    async with server.answering():
        with pytest.raises(EnrolmentError, match="token revoked: ask the operator"):
            await enrol.enrol(token, tmp_path / "state")
