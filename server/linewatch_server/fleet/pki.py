"""The fleet's own certificate authority: keys, certificates and the revocation list.

Pure but for the randomness of key generation: PEM bytes in, PEM bytes out; no
file, no clock, no registry. Probes pin this authority and trust no other.
Validity begins at a fixed date in the past, so that a computer without a clock
can still connect; what ends a probe's access is its revocation, not a date.
Source: RFC 5280.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from linewatch_core.errors import LimitError, MalformedError

NOT_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
"""A board without a clock battery starts at a build date later than this."""
NOT_AFTER = datetime(2049, 12, 31, tzinfo=UTC)
"""The last year that fits UTCTime; nobody visits a probe to renew an authority."""
PROBE_VALIDITY = timedelta(days=3652)
"""Longer than an SD card lives. There is no renewal, and an expiry in the middle of a
shutdown would lose a witness; access ends by revocation."""
CSR_BYTES_MAX = 4096
SERVER_NAME = "server"
"""The common name, and so the broker's user name, of everything the server does."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What of a certificate request counts: its public key, proven to be held by the asker."""

    public_key: ec.EllipticCurvePublicKey

    @property
    def key_der(self) -> bytes:
        """The public key as DER, to compare requests by."""
        return self.public_key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )


class Authority:
    """The fleet's certificate authority, able to issue."""

    def __init__(self, pair: KeyPair) -> None:
        key = serialization.load_pem_private_key(pair.key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise MalformedError("cannot use the fleet's authority: its key is not ECDSA")
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
        self.certificate_pem = pair.certificate_pem

    @classmethod
    def create(cls) -> tuple["Authority", KeyPair]:
        """Make a new authority; the pair is what to keep."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Linewatch fleet")
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _builder(name, name, key.public_key(), NOT_AFTER)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(issuing=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        pair = KeyPair(_pem(certificate), _key_pem(key))
        return cls(pair), pair

    def issue_broker(self, names: Sequence[str]) -> KeyPair:
        """Issue the broker's certificate for DNS names and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general_name(n) for n in names])
        builder = self._leaf(
            "broker", key.public_key(), NOT_AFTER, ExtendedKeyUsageOID.SERVER_AUTH
        ).add_extension(alternatives, critical=False)
        return KeyPair(_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key))

    def issue_client(self, name: str, *, not_after: datetime = NOT_AFTER) -> KeyPair:
        """Make a key and issue a client certificate with the common name `name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        return KeyPair(self._client(name, key.public_key(), not_after), _key_pem(key))

    def sign_request(self, request: SigningRequest, name: str, *, now: datetime) -> bytes:
        """Issue a client certificate (PEM) for a request; its name is ours, not the asker's."""
        return self._client(name, request.public_key, min(now + PROBE_VALIDITY, NOT_AFTER))

    def revocation_list(self, serials: Iterable[int], *, number: int) -> bytes:
        """Return the list (PEM) of revoked serial numbers.

        Args:
            number: how many lists there were before; a broker that holds several
                uses the one dated latest, so the date counts up with the number
                instead of following a clock that can be wrong: a list from the
                "future" would shut everybody out.
        """
        dated = NOT_BEFORE + timedelta(seconds=number)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(dated)
            .next_update(NOT_AFTER)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._authority_identifier(), critical=False)
        )
        for serial in sorted(serials):
            entry = x509.RevokedCertificateBuilder().serial_number(serial)
            builder = builder.add_revoked_certificate(entry.revocation_date(dated).build())
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    def _client(self, name: str, key: ec.EllipticCurvePublicKey, not_after: datetime) -> bytes:
        builder = self._leaf(name, key, not_after, ExtendedKeyUsageOID.CLIENT_AUTH)
        return _pem(builder.sign(self._key, hashes.SHA256()))

    def _leaf(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        not_after: datetime,
        purpose: x509.ObjectIdentifier,
    ) -> x509.CertificateBuilder:
        identifier = x509.SubjectKeyIdentifier.from_public_key(key)
        return (
            _builder(_name(name), self._certificate.subject, key, not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(issuing=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(identifier, critical=False)
            .add_extension(self._authority_identifier(), critical=False)
        )

    def _authority_identifier(self) -> x509.AuthorityKeyIdentifier:
        own = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def parse_request(pem: bytes) -> SigningRequest:
    """Return a PKCS #10 request (PEM), its own signature checked.

    Raises:
        LimitError: longer than 4 KiB.
        MalformedError: anything else than a P-256 request that its key signed.
    """
    if len(pem) > CSR_BYTES_MAX:
        raise LimitError(f"certificate request of {len(pem)} bytes (at most {CSR_BYTES_MAX})")
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        valid = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise MalformedError("not a certificate request") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MalformedError("certificate request with another key than P-256")
    if not valid:
        raise MalformedError("certificate request not signed by its own key")
    return SigningRequest(key)


def serial_of(certificate_pem: bytes) -> int:
    """Return a certificate's serial number."""
    return x509.load_pem_x509_certificate(certificate_pem).serial_number


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(not_after)
    )


def _usage(*, issuing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not issuing,
        key_cert_sign=issuing,
        crl_sign=issuing,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
