"""One MQTT connection to one endpoint, over a socket that somebody else may bind to a line.

aiomqtt sets its socket options after the handshake, too late to choose a line,
and cannot abandon a connection attempt that hangs. This subclass replaces the
places where paho opens its socket (a test pins those hooks) and gives each stage
its own time. Use a new object for every connection: a reused one sends again
what it had queued.
"""

import asyncio
import contextlib
import logging
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Self, TypeAlias, TypeVar

import aiomqtt

from linewatch_agent import clock
from linewatch_agent.plan.endpoint import Endpoint

MakeSocket: TypeAlias = Callable[[str, int], socket.socket]
"""Returns a connected stream socket for (host, port), or raises OSError; runs in a thread."""

BUDGET_S = 10.0
"""How long one stage (DNS, TCP, TLS, WebSocket, CONNACK) may take before it counts as failed."""
ALERT_WAIT_S = (0.3, 3.0)
"""The least and the most that is waited for the server's word on our certificate."""

_T = TypeVar("_T")
_Socket = TypeVar("_Socket", bound=socket.socket)


class _Stage(StrEnum):
    """How far an attempt has come."""

    CONNECTION = "the connection"
    """DNS and TCP: one call of `make_socket`, hence two budgets."""
    TLS = "TLS"
    WEBSOCKET = "WebSocket"
    CONNACK = "MQTT"


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
    when a stage has used up its budget, whatever the other side does (a thread that
    still hangs in a look-up is abandoned and cannot come back to life).

    Attributes:
        peer: the IP address that the connection is with, once there is one.
        was_hung_up: whether the other side ended the connection, instead of falling silent.
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
            websocket_path=endpoint.path if endpoint.scheme == "wss" else None,
            tls_context=tls,
            timeout=budget_s,
            keepalive=keepalive_s,
            will=will,
            max_inflight_messages=max_inflight,
            logger=_quiet_logger(self._last_words),
        )
        self.peer: str | None = None
        self.was_hung_up = False
        self._endpoint = endpoint
        self._make_socket = make_socket
        self._tls = tls
        self._budget_s = budget_s
        self._stage = _Stage.CONNECTION
        self._patience: asyncio.Timeout | None = None
        self._raw: socket.socket | None = None
        self._abandoned = False
        self._guard = threading.Lock()
        paho = self._client
        paho.connect_timeout = 2 * budget_s  # so that it is our watch that ends a stage
        self._create_inner = paho._create_socket
        paho._create_socket = self._create  # type: ignore[method-assign]
        paho._create_socket_connection = self._open  # type: ignore[method-assign]
        paho._ssl_wrap_socket = self._wrap  # type: ignore[assignment]

    async def __aenter__(self) -> Self:
        """Connect; see the class."""
        try:
            async with asyncio.timeout(2 * self._budget_s) as self._patience:
                return await super().__aenter__()
        except TimeoutError:
            self._abandon()
            raise aiomqtt.MqttError(f"no answer: {self._stage}") from None
        except ValueError as error:  # an SSL or IDNA complaint about the host's name
            self._abandon()
            raise aiomqtt.MqttError(str(error)) from None
        except aiomqtt.MqttError as error:
            self._abandon()
            if "timed out" in str(error).lower():
                raise aiomqtt.MqttError(f"no answer: {self._stage}") from None
            raise
        except BaseException:
            self._abandon()
            raise

    async def _wait_for(self, fut: Awaitable[_T], timeout: float | None) -> _T:  # noqa: ASYNC109
        """Wait as aiomqtt does, but lose no cancellation.

        aiomqtt uses asyncio.wait_for, which before Python 3.12 swallows one that meets the
        answer: who then waits for the task's end waits for ever (python/cpython#86296).
        """
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("Operation timed out") from None

    def hang_up(self) -> None:
        """Cut the connection without a word, so that the broker publishes the will."""
        self._abandon()

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, *rest: Any
    ) -> None:
        """Fail at once if the broker hangs up before CONNACK; aiomqtt waits for its timeout."""
        super()._on_disconnect(client, userdata, flags, reason_code, *rest)
        self.was_hung_up = str(reason_code) != "Keep alive timeout" and not self._abandoned
        if not self._connected.done():
            reason = self._last_words[0] if self._last_words else "closed before CONNACK"
            if str(reason_code) == "Protocol error":  # nonsense, or return code 1
                reason = "it does not speak MQTT"
            self._connected.set_exception(aiomqtt.MqttError(reason))

    def _enter(self, stage: _Stage) -> None:
        """Begin a stage, with a budget of its own; called in the connecting thread."""
        self._stage = stage
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._renew_patience)

    def _renew_patience(self) -> None:
        # Too late, if the attempt has ended meanwhile.
        with contextlib.suppress(RuntimeError):
            if self._patience is not None:
                self._patience.reschedule(self._loop.time() + self._budget_s)

    def _create(self) -> Any:
        """Do what paho does, but leave no socket open behind a failure."""
        try:
            made = self._create_inner()
        except BaseException:
            if self._raw is not None:
                self._raw.close()
            raise
        self._enter(_Stage.CONNACK)
        return made

    def _open(self) -> socket.socket:
        sock = self._keep(self._make_socket(self._endpoint.dialled, self._port))
        with contextlib.suppress(OSError, ValueError):
            self.peer = str(sock.getpeername()[0])
        self._enter(_Stage.TLS)
        return sock

    def _wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        if self._endpoint.alpn:
            self._tls.set_alpn_protocols(self._endpoint.alpn)
        wrapped = self._tls.wrap_socket(
            sock, server_hostname=self._hostname, do_handshake_on_connect=False
        )
        self._keep(wrapped).settimeout(self._budget_s)
        began_s = clock.mono_s()
        wrapped.do_handshake()
        _await_verdict(wrapped, round_trip_s=clock.mono_s() - began_s)
        wrapped.settimeout(self._budget_s)
        if self._endpoint.scheme == "wss":
            self._enter(_Stage.WEBSOCKET)
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


def _await_verdict(sock: ssl.SSLSocket, *, round_trip_s: float) -> None:
    """Wait until a TLS 1.3 server has said what it thinks of our certificate.

    It does so after our handshake is done: by a session ticket, or by an alert. Had we
    sent CONNECT already, its closing would reset the connection and the alert would be
    lost. A server that says neither is waited for two round trips.

    Raises:
        OSError: the alert; or it hung up, or spoke before it was spoken to.
    """
    if sock.version() != "TLSv1.3":
        return
    least_s, most_s = ALERT_WAIT_S
    poll = select.poll()  # not select(), which cannot take a descriptor above 1023
    poll.register(sock, select.POLLIN)
    if not poll.poll(1000 * min(most_s, max(least_s, 2 * round_trip_s))):
        return
    sock.setblocking(False)
    try:
        said = sock.recv(1)
    except ssl.SSLWantReadError:
        return
    raise ConnectionError("it does not speak MQTT" if said else "closed before CONNACK")
