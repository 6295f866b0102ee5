"""The lab's certificate authorities: one abroad, a national one, and the state's.

The first two are what a probe trusts (`trust.pem`); nobody trusts the third,
which signs for every name in an interception. Made anew for each lab.
"""

import ssl
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from tests.agent.checks.servers import issue

TRUST_FILE = "trust.pem"
_VALID_DAYS = (-30, 365)


class Authority:
    """Makes authorities in a folder, and servers' contexts that sign for any name."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._ca = {
            name: issue(f"Lab {name} CA", days=_VALID_DAYS)
            for name in ("world", "national", "state")
        }
        trusted = (self._ca["world"], self._ca["national"])
        pem = (ca.certificate.public_bytes(serialization.Encoding.PEM) for ca in trusted)
        (self._folder / TRUST_FILE).write_bytes(b"".join(pem))

    def server_context(self, ca: str, *names: str, any_name: bool = False) -> ssl.SSLContext:
        """Return a context that presents the name asked for, if it is one of `names`.

        Else it presents the first. With `any_name` it signs for whatever is asked.
        """
        context = self._named(ca, names[0])

        def choose(tls: ssl.SSLObject, asked: str | None, _: ssl.SSLContext) -> None:
            if asked is not None and asked != names[0] and (any_name or asked in names):
                tls.context = self._named(ca, asked)

        context.sni_callback = choose
        return context

    def _named(self, ca: str, name: str) -> ssl.SSLContext:
        identity = issue(name, issuer=self._ca[ca], days=_VALID_DAYS)
        return identity.server_context(self._folder, self._ca[ca])
