"""The key of the probe's certificate, and the request for that certificate.

The only place of the agent that needs `cryptography`: imported when keys are made, and
in a process of its own (apart.py) while the agent measures.
"""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from linewatch_core.ids import ProbeId


def new_key_pem() -> bytes:
    """Make a P-256 key and return it as PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def request_pem(key_pem: bytes) -> str:
    """Return a PKCS #10 request; its subject is empty, since the server decides the name.

    Raises:
        ValueError: not a P-256 key.
    """
    key = serialization.load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an ECDSA key")
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = builder.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def fits(certificate_pem: str, *, key_pem: bytes, probe: ProbeId) -> bool:
    """Return whether this is a certificate of that probe and that key."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        own = serialization.load_pem_private_key(key_pem, None).public_key()
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return [n.value for n in names] == [probe] and certificate.public_key() == own
    except ValueError:
        return False
