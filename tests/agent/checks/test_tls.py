"""The issuer's name out of a certificate, read by hand: equal to what a library reads."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.checks.tls import issuer_name
from tests.agent.checks.servers import issue

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
