"""The fleet's authority: what it issues is what OpenSSL's strictest reading accepts."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.identity import probe_key
from linewatch_core.errors import LinewatchError, MalformedError
from linewatch_core.ids import ProbeId
from linewatch_server.fleet.pki import (
    CSR_BYTES_MAX,
    NOT_AFTER,
    NOT_BEFORE,
    PROBE_VALIDITY,
    Authority,
    KeyPair,
    parse_request,
    serial_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORITY, AUTHORITY_PAIR = Authority.create()
REQUEST = probe_key.request_pem(probe_key.new_key_pem()).encode()


def _handshake(folder: Path, authority: bytes, server: KeyPair, client: KeyPair, name: str) -> None:
    """Do a TLS handshake in memory, both sides checking strictly; raise what fails."""

    def context(purpose: int, own: KeyPair) -> ssl.SSLContext:
        made = ssl.SSLContext(purpose)
        made.verify_flags |= ssl.VERIFY_X509_STRICT
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(cadata=authority.decode())
        (folder / "c.pem").write_bytes(own.certificate_pem)
        (folder / "k.pem").write_bytes(own.key_pem)
        made.load_cert_chain(folder / "c.pem", folder / "k.pem")
        return made

    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = context(ssl.PROTOCOL_TLS_CLIENT, client).wrap_bio(down, up, server_hostname=name)
    there = context(ssl.PROTOCOL_TLS_SERVER, server).wrap_bio(up, down, server_side=True)
    waiting = [here, there]
    for _ in range(10):
        for side in tuple(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not waiting


@pytest.mark.parametrize("name", ["probes.example.org", "192.0.2.7", "2001:db8::7"])
def test_issued_certificates_pass_a_strict_handshake(tmp_path: Path, name: str) -> None:
    """Broker and client accept each other under VERIFY_X509_STRICT, by name and by address."""
    broker = AUTHORITY.issue_broker([name])
    client = AUTHORITY.issue_client("server")
    _handshake(tmp_path, AUTHORITY.certificate_pem, broker, client, name)


def test_another_name_is_refused(tmp_path: Path) -> None:
    """A client that expects another name than the broker's gives up."""
    broker, client = AUTHORITY.issue_broker(["a.example"]), AUTHORITY.issue_client("server")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        _handshake(tmp_path, AUTHORITY.certificate_pem, broker, client, "b.example")


def test_a_client_certificate_cannot_pose_as_the_broker(tmp_path: Path) -> None:
    """A probe's certificate is no server's, though the same authority signed it."""
    probe = AUTHORITY.issue_client("a.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        _handshake(tmp_path, AUTHORITY.certificate_pem, probe, probe, "a.example")


def test_another_fleets_authority_is_refused(tmp_path: Path) -> None:
    """What another authority of the same name issued is not accepted."""
    other, _ = Authority.create()
    broker, client = other.issue_broker(["a.example"]), AUTHORITY.issue_client("server")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tmp_path, AUTHORITY.certificate_pem, broker, client, "a.example")


def test_the_authority_can_be_read_again() -> None:
    """An authority read from its files issues like the one that was made."""
    again = Authority(AUTHORITY_PAIR)
    leaf = x509.load_pem_x509_certificate(again.issue_client("x").certificate_pem)
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(AUTHORITY.certificate_pem))


def test_a_probes_certificate_has_our_name_and_its_key() -> None:
    """The name in a request counts for nothing; the validity begins before any clock's default."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    parsed = parse_request(request.public_bytes(serialization.Encoding.PEM))
    issued = x509.load_pem_x509_certificate(
        AUTHORITY.sign_request(parsed, ProbeId("a" * 16), now=NOW)
    )
    assert [a.value for a in issued.subject] == ["a" * 16]
    assert issued.public_key() == key.public_key()
    assert issued.not_valid_before_utc == NOT_BEFORE
    assert issued.not_valid_after_utc == NOW + PROBE_VALIDITY


def test_no_certificate_outlives_the_authority() -> None:
    """A probe that is enrolled late gets no more than the authority has left."""
    late = AUTHORITY.sign_request(parse_request(REQUEST), "p", now=datetime(2048, 1, 1, tzinfo=UTC))
    assert x509.load_pem_x509_certificate(late).not_valid_after_utc == NOT_AFTER


def test_revocation_lists_are_ordered_by_number_not_by_clock() -> None:
    """A later list is dated later, and none is dated near a clock that could be behind it."""
    serials = [serial_of(AUTHORITY.issue_client(n).certificate_pem) for n in "ab"]
    first = x509.load_pem_x509_crl(AUTHORITY.revocation_list(serials[:1], number=1))
    second = x509.load_pem_x509_crl(AUTHORITY.revocation_list(serials, number=2))
    assert first.last_update_utc < second.last_update_utc < datetime(2020, 1, 2, tzinfo=UTC)
    assert sorted(entry.serial_number for entry in second) == sorted(serials)
    key = x509.load_pem_x509_certificate(AUTHORITY.certificate_pem).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert second.is_signature_valid(key)


def test_requests_with_other_keys_are_refused() -> None:
    """RSA and other curves are not accepted."""
    keys: list[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
    ]
    for key in keys:
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        request = builder.sign(key, hashes.SHA256())
        with pytest.raises(MalformedError, match="another key than P-256"):
            parse_request(request.public_bytes(serialization.Encoding.PEM))


def test_a_request_not_signed_by_its_key_is_refused() -> None:
    """Nobody can ask with a public key of somebody else."""
    der = bytearray(x509.load_pem_x509_csr(REQUEST).public_bytes(serialization.Encoding.DER))
    other = x509.load_pem_x509_csr(probe_key.request_pem(probe_key.new_key_pem()).encode())
    own = x509.load_pem_x509_csr(REQUEST)
    point = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    before, after = (r.public_key().public_bytes(*point) for r in (own, other))
    forged = x509.load_der_x509_csr(bytes(der).replace(before, after))
    with pytest.raises(MalformedError, match="not signed by its own key"):
        parse_request(forged.public_bytes(serialization.Encoding.PEM))


@given(st.data())
def test_any_bytes_are_a_request_or_refused(data: st.DataObject) -> None:
    """Damaged requests raise our own errors only."""
    at = data.draw(st.integers(0, len(REQUEST) - 1))
    put = data.draw(st.binary(max_size=8))
    cut = data.draw(st.integers(0, 8))
    for damaged in (REQUEST[:at] + put + REQUEST[at + cut :], put, REQUEST[:at]):
        try:
            parse_request(damaged)
        except LinewatchError:
            continue


def test_a_long_request_is_refused_before_it_is_parsed() -> None:
    """The limit counts, even if what is over it is harmless."""
    with pytest.raises(MalformedError, match="at most 4096"):
        parse_request(REQUEST + b"\n" * CSR_BYTES_MAX)
