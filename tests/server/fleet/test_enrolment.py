"""Tokens and the server's answers, without a broker."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linewatch_agent.identity import probe_key
from linewatch_core.enrolment import EnrolReply, Token, decode_reply, decode_token
from linewatch_core.ids import ProbeId
from linewatch_server.broker.files import load_authority
from linewatch_server.fleet import enrolment
from linewatch_server.fleet.pki import Authority
from linewatch_server.fleet.registry import Registry
from linewatch_server.settings import Layout, SetupError
from tests.support.broker import init_server

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SIGNING_KEY = bytes(range(32))
KEY = probe_key.new_key_pem()


@dataclass(frozen=True)
class Desk:
    """A server's directory with one token given out."""

    layout: Layout
    registry: Registry
    authority: Authority
    token: Token

    def ask(self, request: bytes, *, topic: str | None = None, now: datetime = NOW) -> EnrolReply:
        """Return the reply to a request."""
        reply = enrolment.answer(
            request,
            token=topic or self.token.token,
            registry=self.registry,
            authority=self.authority,
            now=now,
        )
        return decode_reply(reply)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A fresh server with one open token."""
    layout = init_server(tmp_path / "server")
    token = decode_token(enrolment.enrol(layout.directory, label="first", now=NOW))
    return Desk(layout, Registry(layout.registry), load_authority(layout), token)


def _request(token: Token, key_pem: bytes, changes: dict[str, str] | None = None) -> bytes:
    fields = {
        "token": token.token,
        "secret": token.secret,
        "csr": probe_key.request_pem(key_pem),
        "signing_key": base64.b64encode(SIGNING_KEY).decode(),
    }
    return msgspec.json.encode(fields | (changes or {}))


def test_a_token_enrols_the_probe_it_names(desk: Desk) -> None:
    """The certificate is for the token's probe, and the registry has key and certificate."""
    reply = desk.ask(_request(desk.token, probe_key.new_key_pem()))
    assert reply.error is None
    assert reply.certificate is not None
    names = x509.load_pem_x509_certificate(reply.certificate.encode()).subject
    assert [n.value for n in names] == [desk.token.probe]
    probe = desk.registry.probe(desk.token.probe)
    assert probe is not None
    assert (probe.label, probe.signing_key) == ("first", SIGNING_KEY)
    assert desk.registry.is_live(desk.token.probe)


def test_a_probe_is_not_live_before_it_has_enrolled(desk: Desk) -> None:
    """A token alone makes nobody believed."""
    assert not desk.registry.is_live(desk.token.probe)


def test_a_repeat_with_the_same_key_gets_the_same_certificate(desk: Desk) -> None:
    """A lost reply costs nothing."""
    key = probe_key.new_key_pem()
    first = desk.ask(_request(desk.token, key))
    assert desk.ask(_request(desk.token, key), now=NOW + timedelta(days=3)) == first


def test_a_repeat_with_another_key_is_refused(desk: Desk) -> None:
    """Whoever copied the token comes too late, and learns nothing."""
    desk.ask(_request(desk.token, probe_key.new_key_pem()))
    reply = desk.ask(_request(desk.token, probe_key.new_key_pem()))
    assert reply == EnrolReply(error="token already used: ask the operator for a new one")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"secret": "x" * 43}, "token unknown"),
        ({"token": "t-" + "a" * 16}, "token unknown"),
        ({"csr": "-----BEGIN"}, "not a certificate request"),
        ({"signing_key": "AAAA"}, "not an enrolment request"),
    ],
)
def test_a_wrong_field_is_refused(desk: Desk, changes: dict[str, str], error: str) -> None:
    """Each field counts, and a refusal uses nothing up."""
    reply = desk.ask(_request(desk.token, probe_key.new_key_pem(), changes))
    assert reply.certificate is None
    assert error in str(reply.error)
    assert desk.ask(_request(desk.token, probe_key.new_key_pem())).certificate


def test_a_request_on_another_tokens_topic_is_refused(desk: Desk) -> None:
    """The certificate of one token is no use with the secret of another."""
    other = decode_token(enrolment.enrol(desk.layout.directory, label="other", now=NOW))
    reply = desk.ask(_request(desk.token, probe_key.new_key_pem()), topic=other.token)
    assert "token unknown" in str(reply.error)


def test_an_expired_token_is_refused(desk: Desk) -> None:
    """The server looks at the date itself, whatever the broker let through."""
    reply = desk.ask(
        _request(desk.token, probe_key.new_key_pem()), now=NOW + timedelta(days=30, seconds=1)
    )
    assert reply.error == "token expired: ask the operator for a new one"


def test_the_token_of_a_revoked_probe_is_refused(desk: Desk) -> None:
    """Revoking before the first use closes the token too, in every list."""
    enrolment.revoke(desk.layout.directory, probe=ProbeId(desk.token.probe), now=NOW)
    reply = desk.ask(_request(desk.token, probe_key.new_key_pem()))
    assert reply.error == "token revoked: ask the operator for a new one"
    assert desk.registry.revoked_names() == sorted([desk.token.probe, desk.token.token])
    denied = (desk.layout.broker / "acl").read_text()
    assert f"user {desk.token.token}\ntopic deny #" in denied
    listed = x509.load_pem_x509_crl((desk.layout.broker / "revoked.pem").read_bytes())
    assert len(listed) == 1


def test_a_revoked_probe_is_listed_with_both_certificates(desk: Desk) -> None:
    """An enrolled probe's own certificate and its token's are revoked together."""
    desk.ask(_request(desk.token, probe_key.new_key_pem()))
    probe, told = enrolment.revoke(desk.layout.directory, probe=ProbeId(desk.token.probe), now=NOW)
    assert probe.revoked_at == NOW
    assert not told
    assert not desk.registry.is_live(desk.token.probe)
    listed = x509.load_pem_x509_crl((desk.layout.broker / "revoked.pem").read_bytes())
    assert {entry.serial_number for entry in listed} == set(desk.registry.revoked_serials())
    assert len(listed) == 2


def test_revoking_again_keeps_the_first_time(desk: Desk) -> None:
    """From when on a probe is not believed does not move."""
    for days in (0, 5):
        probe, _ = enrolment.revoke(
            desk.layout.directory,
            probe=ProbeId(desk.token.probe),
            now=NOW + timedelta(days=days),
        )
    assert probe.revoked_at == NOW


def test_revoking_nobody_is_an_error(desk: Desk) -> None:
    """A mistyped id is said, not passed over."""
    with pytest.raises(SetupError, match=r"cannot revoke b{16}: no such probe"):
        enrolment.revoke(desk.layout.directory, probe=ProbeId("b" * 16), now=NOW)


@pytest.mark.parametrize(
    ("label", "days", "error"),
    [("", 30, "label"), ("a\nb", 30, "label"), ("x" * 81, 30, "label"), ("x", 0, "days")],
)
def test_bad_arguments_are_refused(desk: Desk, label: str, days: int, error: str) -> None:
    """A label is one line, a token lives at least a day; nothing is registered otherwise."""
    with pytest.raises(SetupError, match=f"cannot enrol: .*{error}"):
        enrolment.enrol(desk.layout.directory, label=label, now=NOW, days=days)
    assert len(desk.registry.probes()) == 1


def test_without_the_authoritys_key_nothing_is_issued(desk: Desk) -> None:
    """The message names the missing file."""
    desk.layout.authority_key.unlink()
    with pytest.raises(SetupError, match=r"cannot issue .*fleet-ca\.key.* restore it"):
        enrolment.enrol(desk.layout.directory, label="x", now=NOW)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    at=st.integers(0, 800),
    put=st.binary(max_size=4),
    cut=st.integers(0, 4),
    other=st.one_of(st.binary(max_size=200), st.just(b"[" * 8_000), st.just(b"[" * 9_000)),
)
def test_any_bytes_get_a_reply(desk: Desk, at: int, put: bytes, cut: int, other: bytes) -> None:
    """Whatever arrives, there is a reply: a certificate or a reason, and never both."""
    whole = _request(desk.token, KEY)
    reply = desk.ask(whole[:at] + put + whole[at + cut :])
    assert (reply.certificate is None) != (reply.error is None)
    assert desk.ask(other).error
