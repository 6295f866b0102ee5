"""TLS as the http check needs it: one shared context, the chain as presented, failure names.

Certificates are always verified. When verification fails, OpenSSL (3.0 on)
still holds the chain that the peer presented, so its hash comes from the same
handshake: nothing is ever sent over a connection that was not verified, and no
second, unverified one is made. The invariant: a chain is evidence, never trust.
Source: RFC 8446 section 4.4.2; OpenSSL's x509_vfy.h for the codes.
"""

import functools
import hashlib
import os
import ssl
from pathlib import Path
from typing import Any, NamedTuple

from linewatch_agent.checks.failures import EOF, os_failure

DIGEST_DIGITS = 16
"""Digests are cut to 64 bits: enough to tell chains and pages apart."""

_CHAIN_ATTRIBUTE = "linewatch_chain"
_VERSION_TAG = 0xA0
_X509_FILETYPE_ASN1 = 2
"""OpenSSL's word for DER."""
_VERIFY_FAILURES = {
    18: "ssl_unknown_authority",
    19: "ssl_unknown_authority",
    20: "ssl_unknown_authority",
    21: "ssl_unknown_authority",
    62: "ssl_invalid_hostname",
    64: "ssl_invalid_hostname",
}
"""X509_V_ERR_*: self-signed leaf or root, no issuer (twice), host name, address. The
rest (expired, not yet valid, wrong purpose, ...) is `ssl_invalid_certificate`."""


class Chain(NamedTuple):
    """A chain as presented, in digests: of all of it, and of the authority that it claims."""

    sha256: str
    issuer_sha256: str | None


class WitnessObject(ssl.SSLObject):
    """An SSLObject whose certificate error carries the digests of the chain presented."""

    def do_handshake(self) -> None:
        """Shake hands; see SSLObject."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            setattr(error, _CHAIN_ATTRIBUTE, chain_of(self))
            raise


def line_context(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return `context`, made to keep the chains it refuses and to speak HTTP/1.1.

    RFC 5280 pedantry, which Python turned on in 3.13, is off: probes on different
    systems must give one certificate one verdict.
    """
    context.sslobject_class = WitnessObject
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


@functools.cache
def shared_context() -> ssl.SSLContext:
    """Return the process's one context, on the system's certificate authorities.

    One that reads all of them at once costs 1.2 MB and 10 ms more (measured).
    """
    return line_context(ssl.create_default_context(capath=authorities_folder()))


def authorities_folder() -> str | None:
    """Return the folder in which OpenSSL finds the one authority that it needs, by hash.

    None: there is none, or SSL_CERT_FILE asks for a file: then all are read.
    Source: openssl-rehash(1); Debian's ca-certificates makes it.
    """
    folder = ssl.get_default_verify_paths().capath
    if folder is None or os.environ.get("SSL_CERT_FILE"):
        return None
    return folder if next(Path(folder).glob("*.0"), None) else None


def chain_of(tls: ssl.SSLObject) -> Chain | None:
    """Return the digests of the chain presented; None if there is none.

    `sha256` is over the DER certificates, leaf first, and `issuer_sha256` over the DER name
    of who issued the last one: of a chain without its root that is the root, and so it
    stays the same when leaf and intermediates are renewed.
    """
    chain = _presented_chain(tls)
    if not chain:
        return None
    issuer = issuer_name(chain[-1])
    return Chain(_digest(b"".join(chain)), None if issuer is None else _digest(issuer))


def refused_chain(error: BaseException) -> Chain | None:
    """Return the digests of the chain that verification refused with `error`, if known."""
    chain = getattr(error, _CHAIN_ATTRIBUTE, None)
    return chain if isinstance(chain, Chain) else None


def issuer_name(der: bytes) -> bytes | None:
    """Return the issuer's Name of a DER certificate, header included; None if it is none.

    By hand, since a library that knows X.509 costs 8 MB resident. Source: RFC 5280
    section 4.1: Certificate { TBSCertificate { [0] version, serial, algorithm, issuer ...
    """
    try:
        at, _ = _content(der, 0)  # Certificate
        at, _ = _content(der, at)  # TBSCertificate
        if der[at] == _VERSION_TAG:
            _, at = _content(der, at)
        for _ in ("serial", "algorithm"):
            _, at = _content(der, at)
        _, end = _content(der, at)
    except IndexError:
        return None
    return der[at:end] if end <= len(der) else None


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the DER element at `at` begins and ends (X.690, 8.1.3)."""
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[begin : begin + count], "big")
        begin += count
    return begin, begin + length


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGEST_DIGITS]


def tls_failure(error: OSError) -> str:
    """Return the failure name of what ended a TLS handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_FAILURES.get(error.verify_code, "ssl_invalid_certificate")
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return EOF
    if isinstance(error, ssl.SSLError):
        return "ssl_failed_handshake"
    return os_failure(error)


def _presented_chain(tls: ssl.SSLObject) -> list[bytes]:
    """Return the chain as DER. SSLObject has the method from Python 3.13 on."""
    public: Any = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return list(public() or ())
    private: Any = tls._sslobj  # type: ignore[attr-defined]
    return [
        certificate.public_bytes(_X509_FILETYPE_ASN1)
        for certificate in private.get_unverified_chain() or ()
    ]
