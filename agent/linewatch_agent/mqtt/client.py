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
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Self, TypeAlias

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from linewatch_agent.mqtt.connect_problem import Place, ProblemKind, RefusedError, problem_of
from linewatch_agent.mqtt.opening import BUDGET_S, MakeSocket, Opening, Stage, open_socket
from linewatch_agent.mqtt.strict import HungUpError, StrictClient, code_of
from linewatch_agent.plan.endpoint import Endpoint

Version: TypeAlias = aiomqtt.ProtocolVersion
OnBytes: TypeAlias = Callable[..., None]
"""Takes bytes_out and bytes_in, of IP, and opening: whether they went into connecting."""

LOOK_UP_BYTES = (300, 250)
"""Out and in, reckoned: the server's name is asked for, and some of its addresses in vain."""


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


class LineClient(StrictClient):
    """An MQTT client for one endpoint whose socket comes from `make_socket`.

    Nothing of a session outlives its connection. Entering raises `aiomqtt.MqttError`, at
    the latest when a stage has used up its budget, whatever the other side does.

    Attributes:
        version: of MQTT that it speaks.
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
        version: Version = Version.V5,
        on_bytes: OnBytes = lambda **_: None,
    ) -> None:
        self._last_words: deque[str] = deque(maxlen=1)
        super().__init__(
            endpoint.host,
            endpoint.port,
            identifier=identifier,
            protocol=version,
            # Version 5's clean start is aiomqtt's default, and its session expiry 0.
            clean_session=None if version is Version.V5 else True,
            transport="websockets" if endpoint.scheme == "wss" else "tcp",
            websocket_path=endpoint.path if endpoint.scheme == "wss" else None,
            tls_context=tls,
            timeout=budget_s,
            keepalive=keepalive_s,
            will=will,
            logger=_quiet_logger(self._last_words),
        )
        self.version = version
        self.was_hung_up = False
        self._budget_s = budget_s
        self._on_bytes = on_bytes
        look_up = LOOK_UP_BYTES if endpoint.needs_dns else (0, 0)
        self._told = (-look_up[0], -look_up[1])  # which the kernel does not count
        self._patience: asyncio.Timeout | None = None
        self._opening = Opening(
            endpoint,
            tls=tls,
            make_socket=make_socket,
            budget_s=budget_s,
            on_stage=self._on_stage,
        )
        paho = self._client
        paho.connect_timeout = 2 * budget_s  # so that it is our watch that ends a stage
        self._create_inner = paho._create_socket
        paho._create_socket = self._create  # type: ignore[method-assign]
        paho._create_socket_connection = self._opening.connect  # type: ignore[method-assign]
        paho._ssl_wrap_socket = self._opening.wrap  # type: ignore[assignment]

    @property
    def peer(self) -> str | None:
        """The IP address that the connection is with, once there is one."""
        return self._opening.peer

    async def __aenter__(self) -> Self:
        """Connect; see the class."""
        try:
            async with asyncio.timeout(2 * self._budget_s) as self._patience:
                await super().__aenter__()
        except BaseException as error:
            self._opening.abandon()
            # Nobody there costs little, and is what a shutdown is like: no reason to try less.
            self.count(opening=self.peer is not None)
            late = isinstance(error, TimeoutError) or "timed out" in str(error).lower()
            if late and isinstance(error, (TimeoutError, aiomqtt.MqttError)):
                raise aiomqtt.MqttError(f"no answer: {self._opening.stage}") from None
            if isinstance(error, MqttConnectError):
                raise RefusedError(Place.CONNECT, code_of(error.rc)) from None
            if isinstance(error, ValueError):  # an SSL or IDNA complaint about the host's name
                raise aiomqtt.MqttError(str(error)) from None
            raise
        self.count(opening=True)
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Disconnect as aiomqtt does, and count the last bytes."""
        try:
            await super().__aexit__(*error)
        finally:
            self.count()

    def count(self, *, opening: bool = False) -> None:
        """Tell `on_bytes` what the connection has carried since it was told last."""
        told, self._told = self._told, self._opening.carried()
        bytes_out, bytes_in = (now - before for now, before in zip(self._told, told, strict=True))
        self._on_bytes(bytes_out=bytes_out, bytes_in=bytes_in, opening=opening)

    def hang_up(self) -> None:
        """Cut the connection without a word, so that the broker publishes the will."""
        self._opening.abandon()

    def unwelcome(self) -> aiomqtt.MqttError:
        """Return why there is no CONNACK: what TLS said of it, or only that there is none."""
        reason = self._last_words[0] if self._last_words else "closed before CONNACK"
        error = aiomqtt.MqttError(reason)
        is_plain = problem_of(error).kind is ProblemKind.UNREACHED
        return HungUpError(reason) if is_plain else error

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, *rest: Any
    ) -> None:
        self.was_hung_up = str(reason_code) != "Keep alive timeout" and not self._opening.abandoned
        super()._on_disconnect(client, userdata, flags, reason_code, *rest)

    def _on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:
        """Look at the kernel's count for the last time."""
        self._opening.carried()
        super()._on_socket_close(client, userdata, sock)

    def _on_stage(self) -> None:
        """Give the stage that begins a budget of its own; called in the connecting thread."""
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
            self._opening.close()
            raise
        self._opening.enter(Stage.CONNACK)
        return made
