"""TLS that trusts the fleet's authority alone, also on a computer whose clock is wrong.

A probe may wake in 1970 or in 2036, and only the server can tell it better. So no
clock of this machine is believed when a certificate is judged: it is refused as
expired only if it ended before a moment that is known to be past.
Source: docs/decisions/0015-certificates-without-a-clock.md.
"""

import ssl
from pathlib import Path
from typing import Any

from linewatch_core.errors import MalformedError

RELEASED_S = 1_793_491_200
"""2026-11-01: this software was made later, so that moment is past whatever a clock says."""
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python has no name for."""


class _FleetSocket(ssl.SSLSocket):
    """Checks the server's dates right after the handshake, before anything is sent."""

    def do_handshake(self, block: bool = False) -> None:
        """Do the handshake; raise SSLCertVerificationError if the certificate has ended."""
        super().do_handshake(block)
        assert isinstance(self.context, FleetContext)
        self.context.check_dates(self.getpeercert())


class _FleetObject(ssl.SSLObject):
    """The same for those who do TLS without a socket, as asyncio does."""

    def do_handshake(self) -> None:
        """Do a part of the handshake; raise SSLCertVerificationError at its end likewise."""
        super().do_handshake()
        assert isinstance(self.context, FleetContext)
        self.context.check_dates(self.getpeercert())


class FleetContext(ssl.SSLContext):
    """Checks chain and name against one authority, and dates against `floor_s`.

    Attributes:
        floor_s: Unix time that is known to be past.
    """

    sslsocket_class = _FleetSocket
    sslobject_class = _FleetObject
    floor_s: float = RELEASED_S

    def check_dates(self, certificate: Any) -> None:
        """Raise SSLCertVerificationError if `certificate` (as of `getpeercert`) has ended.

        When it begins is not checked: a certificate of the future is no weaker one.
        """
        ends = certificate.get("notAfter", "") if certificate else ""
        if not ends or ssl.cert_time_to_seconds(ends) < self.floor_s:
            raise ssl.SSLCertVerificationError("certificate verify failed: it has expired")


def tls_context(
    *, authority_pem: str, certificate: Path, key: Path, floor_s: float = RELEASED_S
) -> FleetContext:
    """Return a context that trusts the fleet's authority alone and shows our certificate.

    Args:
        floor_s: Unix time that is known to be past.

    Raises:
        MalformedError: the files are damaged or do not belong together.
        OSError: a file cannot be read.
    """
    context = FleetContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the chain and the name
    context.floor_s = floor_s
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_STRICT | _NO_CHECK_TIME
    try:
        context.load_verify_locations(cadata=authority_pem)
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise MalformedError(
            f"cannot use this probe's certificate: {certificate.name}, {key.name} or the fleet's "
            "authority is damaged; enrol the probe again with a new token"
        ) from error
    return context
