"""Where a broker listens, as the operator writes it.

Pure. A name may carry an address beside it: then nobody's DNS is
asked, and the certificate is still checked for the name.
Source: docs/configuration.md, `[uplink]`.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from linewatch_agent.plan.target_words import address_version
from linewatch_core.errors import MalformedError

HTTPS_PORT = 443
WEBSOCKET_PATH = "/mqtt"
_ENDPOINT = re.compile(
    r"(mqtts|wss)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})"
    r"(/[A-Za-z0-9._~/-]*)?(?:\?at=([0-9a-fA-F:.]+))?"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker listens: over TLS, plainly (`mqtts`) or inside WebSocket (`wss`).

    Attributes:
        host: the name (or address) that its certificate must be for.
        address: connect to this IP address; None: to what `host` resolves to.
        path: of the WebSocket.
    """

    scheme: Literal["mqtts", "wss"]
    host: str
    port: int
    address: str | None = None
    path: str = WEBSOCKET_PATH

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        pinned = "" if self.address is None else f"?at={self.address}"
        path = "" if self.path == WEBSOCKET_PATH else self.path
        return f"{self.scheme}://{host}:{self.port}{path}{pinned}"

    @property
    def dialled(self) -> str:
        """The name or address that a connection is opened to."""
        return self.address or self.host

    @property
    def needs_dns(self) -> bool:
        """Whether somebody must be asked for the address that `dialled` has."""
        return address_version(self.dialled) is None

    @property
    def alpn(self) -> list[str]:
        """What the TLS handshake says that follows.

        On the port of HTTPS it must be said, since one address may serve several protocols
        there; elsewhere it would only tell whoever listens.
        """
        if self.port != HTTPS_PORT:
            return []
        return ["http/1.1"] if self.scheme == "wss" else ["mqtt"]


def parse_endpoint(text: str) -> Endpoint:
    """Return `text` (`mqtts://host:8883`, `wss://host:443`, either with `?at=ADDRESS`) as an
    endpoint, or raise MalformedError."""
    found = _ENDPOINT.fullmatch(text)
    path = (found[4] or "/") if found else "/"
    if not found or not 1 <= int(found[3]) <= 65535 or (found[1] == "mqtts" and path != "/"):
        raise MalformedError(
            f"not an endpoint: {text[:80]!r} (expected mqtts://host:port or wss://host:port/path, "
            "either with ?at=ADDRESS to go without DNS)"
        )
    scheme: Literal["mqtts", "wss"] = "wss" if found[1] == "wss" else "mqtts"
    address = found[5]
    if address is not None:
        try:
            address = str(ipaddress.ip_address(address))
        except ValueError:
            raise MalformedError(
                f"not an endpoint: {text[:80]!r} (after ?at= an IP address is expected)"
            ) from None
    path = WEBSOCKET_PATH if path == "/" else path
    return Endpoint(scheme, found[2].strip("[]"), int(found[3]), address, path)
