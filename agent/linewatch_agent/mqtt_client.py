"""One MQTT connection to one endpoint, over a socket that somebody else may bind to a line.

aiomqtt sets its socket options after the handshake, too late to choose a line,
and cannot abandon a connection attempt that hangs. This subclass replaces the
places where paho opens its socket (a test pins those hooks). Use a new object
for every connection: a reused one sends again what it had queued.
"""

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypeVar

import aiomqtt

from linewatch_core.errors import MalformedError

MakeSocket: TypeAlias = Callable[[str, int], socket.socket]
"""Returns a connected stream socket for (host, port), or raises OSError; runs in a thread."""

BUDGET_S = 10.0
"""How long one step (DNS, TCP, TLS, CONNACK) may be silent before it counts as failed."""
STEPS = 4
WEBSOCKET_PATH = "/mqtt"

_Socket = TypeVar("_Socket", bound=socket.socket)
_ENDPOINT = re.compile(r"(mqtts|wss)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker listens: over TLS, plainly (`mqtts`) or inside WebSocket (`wss`)."""

    scheme: Literal["mqtts", "wss"]
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Return `text` (`mqtts://host:8883`, `wss://host:443`) as an endpoint, or raise
    MalformedError."""
    found = _ENDPOINT.fullmatch(text)
    if not found or not 1 <= int(found[3]) <= 65535:
        raise MalformedError(
            f"not an endpoint: {text[:80]!r} (expected mqtts://host:port or wss://host:port)"
        )
    scheme: Literal["mqtts", "wss"] = "wss" if found[1] == "wss" else "mqtts"
    return Endpoint(scheme, found[2].strip("[]"), int(found[3]))


def tls_context(*, authority_pem: str, certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context that trusts the fleet's authority alone and shows our certificate.

    Raises:
        MalformedError: the files are damaged or do not belong together.
        OSError: a file cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the chain and the name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cadata=authority_pem)
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise MalformedError(
            f"cannot use this probe's certificate: {certificate.name}, {key.name} or the fleet's "
            "authority is damaged; enrol the probe again with a new token"
        ) from error
    return context


def connect_problem(error: BaseException) -> str:
    """Say in one line, with what to do, why a connection failed; holds no address."""
    text = str(error).lower()
    for clue, meaning in _MEANINGS:
        if clue in text:
            return meaning
    return "the server could not be reached"


_MEANINGS = (
    ("certificate expired", "this probe's certificate has expired: ask for a new token"),
    ("certificate revoked", "this probe's certificate was revoked: ask for a new token"),
    ("alert", "the server refused this probe's certificate: ask for a new token"),
    ("not authori", "the server refused this probe's certificate: ask for a new token"),
    ("hostname mismatch", "the server's certificate is for another name: ask the operator"),
    ("not valid for", "the server's certificate is for another name: ask the operator"),
    ("certificate has expired", "the server's certificate has expired: ask the operator"),
    ("not yet valid", "this computer's clock is before 2020: set it"),
    ("certificate verify failed", "somebody else answered in the server's place"),
    ("wrong version number", "something else than the server answered"),
    ("websocket", "something else than the server answered"),
    ("refused", "nothing listens at the server's address"),
    ("timed out", "no answer in time"),
    ("no answer", "no answer in time"),
)
"""What errors of ssl, socket and aiomqtt contain -> what it means; the first that fits."""


def open_socket(host: str, port: int) -> socket.socket:
    """Connect over whatever line the system chooses: the default when nothing is bound."""
    return socket.create_connection((host, port), timeout=BUDGET_S)


def _quiet_logger(last_words: deque[str]) -> logging.Logger:
    """Return a logger for paho that prints nothing and keeps the last complaint.

    paho tells the reason of a failed TLS connection to its log only.
    """

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            last_words.append(record.getMessage())

    logger = logging.Logger("linewatch-mqtt", logging.WARNING)
    logger.addHandler(Keep())
    return logger


class LineClient(aiomqtt.Client):
    """An aiomqtt client for one endpoint whose socket comes from `make_socket`.

    Clean session, MQTT 3.1.1. Entering raises `aiomqtt.MqttError`, at the latest
    after four budgets, whatever the other side does (a thread that still hangs
    in a look-up is abandoned and cannot come back to life).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        tls: ssl.SSLContext,
        identifier: str,
        make_socket: MakeSocket = open_socket,
        budget_s: float = BUDGET_S,
        keepalive_s: int = 60,
        will: aiomqtt.Will | None = None,
        max_inflight: int | None = None,
    ) -> None:
        self._last_words: deque[str] = deque(maxlen=1)
        super().__init__(
            endpoint.host,
            endpoint.port,
            identifier=identifier,
            clean_session=True,
            transport="websockets" if endpoint.scheme == "wss" else "tcp",
            websocket_path=WEBSOCKET_PATH if endpoint.scheme == "wss" else None,
            tls_context=tls,
            timeout=budget_s,
            keepalive=keepalive_s,
            will=will,
            max_inflight_messages=max_inflight,
            logger=_quiet_logger(self._last_words),
        )
        self._make_socket = make_socket
        self._tls = tls
        self._budget_s = budget_s
        self._raw: socket.socket | None = None
        self._abandoned = False
        self._guard = threading.Lock()
        paho = self._client
        paho.connect_timeout = budget_s
        self._create_inner = paho._create_socket
        paho._create_socket = self._create  # type: ignore[method-assign]
        paho._create_socket_connection = self._open  # type: ignore[method-assign]
        paho._ssl_wrap_socket = self._wrap  # type: ignore[assignment]

    async def __aenter__(self) -> Self:
        """Connect; see the class."""
        try:
            async with asyncio.timeout(STEPS * self._budget_s):
                return await super().__aenter__()
        except TimeoutError:
            self._abandon()
            raise aiomqtt.MqttError("no answer") from None
        except ValueError as error:  # an SSL or IDNA complaint about the host's name
            self._abandon()
            raise aiomqtt.MqttError(str(error)) from None
        except BaseException:
            self._abandon()
            raise

    def hang_up(self) -> None:
        """Cut the connection without a word, so that the broker publishes the will."""
        self._abandon()

    def _on_disconnect(self, client: Any, *rest: Any) -> None:
        """Fail at once if the broker hangs up before CONNACK; aiomqtt waits for its timeout."""
        super()._on_disconnect(client, *rest)
        if not self._connected.done():
            reason = self._last_words[0] if self._last_words else "closed before CONNACK"
            self._connected.set_exception(aiomqtt.MqttError(reason))

    def _create(self) -> Any:
        """Do what paho does, but leave no socket open behind a failure."""
        try:
            return self._create_inner()
        except BaseException:
            if self._raw is not None:
                self._raw.close()
            raise

    def _open(self) -> socket.socket:
        return self._keep(self._make_socket(self._hostname, self._port))

    def _wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        wrapped = self._tls.wrap_socket(
            sock, server_hostname=self._hostname, do_handshake_on_connect=False
        )
        self._keep(wrapped).settimeout(self._budget_s)
        wrapped.do_handshake()
        return wrapped

    def _keep(self, sock: _Socket) -> _Socket:
        with self._guard:
            self._raw = sock
            if self._abandoned:
                raise TimeoutError("abandoned")
        return sock

    def _abandon(self) -> None:
        """Make a thread that is still connecting fail, instead of connecting later."""
        with self._guard:
            self._abandoned = True
            if self._raw is not None and self._raw.fileno() >= 0:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own, which would reach into a handshake under way.
                    socket.socket.shutdown(self._raw, socket.SHUT_RDWR)
