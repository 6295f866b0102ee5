"""One attempt to open the way to a broker: DNS, TCP, TLS, over a line that somebody else binds.

Blocking, for the thread in which paho connects. `abandon` ends it from outside, at any
moment: whoever gives an attempt up waits for nothing, and no thread is left that connects
later. Source: docs/wire-format.md, "Getting through".
"""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

from linewatch_agent import clock
from linewatch_agent.plan.endpoint import Endpoint
from linewatch_agent.tcp_facts import tcp_facts

Watch: TypeAlias = Callable[[socket.socket], object]
"""Is told each socket before anything on it waits; raises OSError if the attempt was given up."""
MakeSocket: TypeAlias = Callable[[str, int, Watch], socket.socket]
"""Returns a connected stream socket for (host, port), or raises OSError; runs in a thread."""

BUDGET_S = 10.0
"""How long one stage (DNS, TCP, TLS, WebSocket, CONNACK) may take before it counts as failed."""
ALERT_WAIT_S = (0.3, 3.0)
"""The least and the most that is waited for the server's word on our certificate."""


class Stage(StrEnum):
    """How far an attempt has come."""

    CONNECTION = "the connection"
    """DNS and TCP: one call of `make_socket`, hence two budgets."""
    TLS = "TLS"
    WEBSOCKET = "WebSocket"
    CONNACK = "MQTT"


def open_socket(host: str, port: int, watch: Watch = lambda _: None) -> socket.socket:
    """Connect over whatever line the system chooses: the default when nothing is bound.

    The system's own look-up of a name is the one wait that nobody can end.
    """
    error: OSError = OSError("the server's name has no address here")
    for family, kind, proto, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, proto)
        try:
            sock.settimeout(BUDGET_S)
            watch(sock)
            sock.connect(address)
        except OSError as failed:
            sock.close()
            error = failed
        else:
            return sock
    raise error


class Opening:
    """One attempt.

    Attributes:
        stage: how far it has come.
        peer: the IP address that the connection is with, once there is one.
        abandoned: whether it was given up.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        tls: ssl.SSLContext,
        make_socket: MakeSocket,
        budget_s: float,
        on_stage: Callable[[], None],
    ) -> None:
        """Prepare; `on_stage` is called in the connecting thread whenever a stage begins."""
        self.stage = Stage.CONNECTION
        self.peer: str | None = None
        self.abandoned = False
        self._endpoint = endpoint
        self._tls = tls
        self._make_socket = make_socket
        self._budget_s = budget_s
        self._on_stage = on_stage
        self._sock: socket.socket | None = None
        self._carried = (0, 0)
        self._guard = threading.Lock()

    def connect(self) -> socket.socket:
        """Return a socket that is connected to the endpoint."""
        sock = self._make_socket(self._endpoint.dialled, self._endpoint.port, self._watch)
        self._watch(sock)
        with contextlib.suppress(OSError, ValueError):
            self.peer = str(sock.getpeername()[0])
        self.enter(Stage.TLS)
        return sock

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """Return `sock` with TLS done and the server's word on our certificate waited for."""
        if self._endpoint.alpn:
            self._tls.set_alpn_protocols(self._endpoint.alpn)
        wrapped = self._tls.wrap_socket(
            sock, server_hostname=self._endpoint.host, do_handshake_on_connect=False
        )
        self._watch(wrapped)
        wrapped.settimeout(self._budget_s)
        began_s = clock.mono_s()
        wrapped.do_handshake()
        _await_verdict(wrapped, round_trip_s=clock.mono_s() - began_s)
        wrapped.settimeout(self._budget_s)
        if self._endpoint.scheme == "wss":
            self.enter(Stage.WEBSOCKET)
        return wrapped

    def enter(self, stage: Stage) -> None:
        """Begin a stage."""
        self.stage = stage
        self._on_stage()

    def carried(self) -> tuple[int, int]:
        """Return the bytes on the wire so far, out and in, by the kernel's count of the connection.

        Once that is closed, as seen last.
        """
        if self._sock is not None:
            with contextlib.suppress(OSError):  # closed, or a look-up's
                facts = tcp_facts(self._sock)
                bytes_out, bytes_in = self._carried
                # What closing takes is in from the beginning; it must not leave again.
                self._carried = max(bytes_out, facts.bytes_out), max(bytes_in, facts.bytes_in)
        return self._carried

    def close(self) -> None:
        """Leave no socket open behind a failure."""
        if self._sock is not None:
            self.carried()
            self._sock.close()

    def abandon(self) -> None:
        """Cut what is open; a thread that is still connecting fails at once."""
        with self._guard:
            self.abandoned = True
            if self._sock is not None and self._sock.fileno() >= 0:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own, which would reach into a handshake under way.
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _watch(self, sock: socket.socket) -> None:
        with self._guard:
            self._sock = sock
            if self.abandoned:
                raise TimeoutError("abandoned")


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
