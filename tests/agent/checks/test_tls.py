"""The system's authorities; the issuer's name, read by hand: equal to what a library reads."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.checks.tls import authorities_folder, issuer_name, shared_context
from tests.agent.checks.servers import Identity, issue

LEAF = issue("leaf.example", issuer=issue("Some Authority"))


def test_the_issuers_name_is_what_a_library_reads() -> None:
    """Header and content, as DER; also of a certificate that issued itself."""
    assert issuer_name(LEAF.der) == LEAF.certificate.issuer.public_bytes()
    own = issue("Self")
    assert issuer_name(own.der) == own.certificate.subject.public_bytes()


def test_a_name_longer_than_127_bytes_is_read() -> None:
    """The length then takes more than one byte."""
    authority = issue("A" * 60)
    long = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "B" * 60)] * 3)
    builder = (
        x509.CertificateBuilder()
        .subject_name(authority.certificate.subject)
        .issuer_name(long)
        .public_key(authority.key.public_key())
        .serial_number(2**150)
        .not_valid_before(authority.certificate.not_valid_before_utc)
        .not_valid_after(authority.certificate.not_valid_after_utc)
    )
    made = builder.sign(authority.key, hashes.SHA256())
    assert issuer_name(made.public_bytes(Encoding.DER)) == long.public_bytes()


@given(st.integers(0, len(LEAF.der) - 1), st.binary(max_size=60))
def test_a_cut_or_garbage_certificate_has_no_name_and_raises_nothing(cut: int, junk: bytes) -> None:
    """What a peer sends never ends a check."""
    whole = issuer_name(LEAF.der)
    assert issuer_name(LEAF.der[:cut]) in (None, whole)
    found = issuer_name(junk)
    assert found is None or found in junk


@pytest.fixture
def fresh_context() -> Iterator[None]:
    """The process's one context is made anew, before and after."""
    shared_context.cache_clear()
    yield
    shared_context.cache_clear()


def trusts(context: ssl.SSLContext, leaf: Identity, folder: Path) -> bool:
    """Return whether a handshake with whoever shows that certificate succeeds."""
    theirs = leaf.server_context(folder)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        context.wrap_bio(back, there, server_hostname="leaf.example"),
        theirs.wrap_bio(there, back, server_side=True),
    ]
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return True


@pytest.mark.usefixtures("fresh_context")
def test_an_authority_is_found_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the system's folder, when it is needed; one that is not there is not trusted."""
    authority = issue("Some Authority")
    file = tmp_path / "authority.pem"
    file.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(file)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    file.rename(tmp_path / f"{name}.0")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert authorities_folder() == str(tmp_path)
    assert trusts(shared_context(), issue("leaf.example", issuer=authority), tmp_path)
    assert not trusts(shared_context(), issue("leaf.example", issuer=issue("Other")), tmp_path)
    assert shared_context().get_ca_certs() != []


def test_without_hashes_or_where_a_file_is_asked_for_all_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenSSL does by itself."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert authorities_folder() is None
    (tmp_path / "0a1b2c3d.0").touch()
    assert authorities_folder() == str(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "all.pem"))
    assert authorities_folder() is None
