"""TLS as the http check needs it: one shared context, the chain as presented, failure names.

Certificates are always verified. When verification fails, OpenSSL (3.0 on)
still holds the chain that the peer presented, so its hash comes from the same
handshake: nothing is ever sent over a connection that was not verified, and no
second, unverified one is made. The invariant: a chain is evidence, never trust.
Source: RFC 8446 section 4.4.2; OpenSSL's x509_vfy.h for the codes.
"""

import functools
import hashlib
import ssl
from typing import Any

from linewatch_agent.checks.failures import EOF, os_failure

DIGEST_DIGITS = 16
"""Digests are cut to 64 bits: enough to tell chains and pages apart."""

_CHAIN_ATTRIBUTE = "linewatch_chain_sha256"
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


class WitnessObject(ssl.SSLObject):
    """An SSLObject whose certificate error carries the hash of the chain presented."""

    def do_handshake(self) -> None:
        """Shake hands; see SSLObject."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            setattr(error, _CHAIN_ATTRIBUTE, chain_sha256(self))
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

    Each further one costs 0.8 MB and 50 ms (measured).
    """
    return line_context(ssl.create_default_context())


def chain_sha256(tls: ssl.SSLObject) -> str | None:
    """Return the digest over the DER certificates as presented, leaf first; None if none."""
    chain = _presented_chain(tls)
    if not chain:
        return None
    return hashlib.sha256(b"".join(chain)).hexdigest()[:DIGEST_DIGITS]


def refused_chain_sha256(error: BaseException) -> str | None:
    """Return the digest of the chain that verification refused with `error`, if known."""
    digest = getattr(error, _CHAIN_ATTRIBUTE, None)
    return digest if isinstance(digest, str) else None


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
        ssl.PEM_cert_to_DER_cert(certificate.public_bytes())
        for certificate in private.get_unverified_chain() or ()
    ]
