"""An aiomqtt client that lets nothing pass unnoticed that a broker says, or asks for.

aiomqtt 2.5 returns normally from a publish that the broker refused, lets those who wait for
an answer wait on when the broker has hung up, and heeds two of the three limits of MQTT 5's
CONNACK not at all. This takes over the places where paho tells it of an answer (a test pins
them). Knows nothing of sockets, TLS or lines.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from linewatch_agent.mqtt.connect_problem import Place, RefusedError

REFUSED = 0x80
"""From here on a reason code is a refusal."""
TOO_LARGE = 0x95
PUBLISH_HEAD_BYTES = 10
"""What PUBLISH adds to topic and payload, at most: type, lengths, packet id, no properties."""

_T = TypeVar("_T")


class HungUpError(aiomqtt.MqttError):
    """The broker hung up on our CONNECT or answered with nonsense: it may not know its version."""


class StrictClient(aiomqtt.Client):
    """`publish` and `subscribe` raise MqttError once the broker has hung up, and RefusedError
    once it has refused anything: after that nothing counts as taken."""

    _over: aiomqtt.MqttError | None = None
    _packet_bytes_max: int | None = None

    async def subscribe(self, topic: Any, *args: Any, **named: Any) -> Any:
        """Do as aiomqtt; raise RefusedError if the broker does not grant it."""
        granted = await super().subscribe(topic, *args, **named)
        for one in granted:
            if (code := code_of(one)) >= REFUSED:
                raise RefusedError(Place.SUBSCRIBE, code)
        return granted

    async def publish(self, topic: str, payload: Any = None, *args: Any, **named: Any) -> None:
        """Do as aiomqtt; raise RefusedError if the broker did not take it.

        What is above the broker's own limit of a packet is not sent at all.
        """
        size = len(topic.encode()) + len(payload or b"") + PUBLISH_HEAD_BYTES
        if self._packet_bytes_max is not None and size > self._packet_bytes_max:
            raise RefusedError(Place.PUBLISH, TOO_LARGE)
        await super().publish(topic, payload, *args, **named)
        if self._over is not None:
            raise self._over

    def unwelcome(self) -> aiomqtt.MqttError:
        """Return why there is no CONNACK, where the broker said nothing of it."""
        return HungUpError("closed before CONNACK")

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

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        """Heed what a broker of version 5 asks for; paho heeds nothing but its keepalive."""
        if receive_max := getattr(properties, "ReceiveMaximum", None):
            # Its setter is for before the connection, when nobody knows the number.
            client._max_inflight_messages = min(client.max_inflight_messages, receive_max)
        self._packet_bytes_max = getattr(properties, "MaximumPacketSize", None)
        if not 0 < client.keepalive <= self._keepalive:
            # It asks for fewer pings. That it allows; by ours we notice a line that died.
            client._keepalive = self._keepalive
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: Any, *rest: Any
    ) -> None:
        """Take a PUBACK; aiomqtt does not look at its code."""
        if (code := code_of(reason_code)) >= REFUSED:
            self._give_up(RefusedError(Place.PUBLISH, code))
        super()._on_publish(client, userdata, mid, reason_code, *rest)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, *rest: Any
    ) -> None:
        """Tell at once whoever waits; aiomqtt lets them wait for their timeout."""
        error: aiomqtt.MqttError = aiomqtt.MqttError("the connection was lost")
        if flags.is_disconnect_packet_from_server:
            error = RefusedError(Place.SESSION, code_of(reason_code))
        elif str(reason_code) == "Protocol error":  # nonsense, or 3.1.1's return code 1
            error = HungUpError("it does not speak MQTT")
        elif not self._connected.done():
            error = self.unwelcome()
        is_ours = not flags.is_disconnect_packet_from_server and not code_of(reason_code)
        if not self._connected.done():
            _fail(self._connected, error)
        elif not self._disconnected.done() and not is_ours:
            _fail(self._disconnected, error)
            self._give_up(error)
        super()._on_disconnect(client, userdata, flags, reason_code, *rest)

    def _on_socket_register_write(self, client: Any, _: Any, sock: Any) -> None:
        """Do as aiomqtt, unless the socket is closed by then: its number may be another's."""

        def write() -> None:
            try:
                client.loop_write()
            except Exception as error:  # as aiomqtt has it
                if not self._disconnected.done():
                    _fail(self._disconnected, aiomqtt.MqttError(str(error)))

        def register() -> None:
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), write)

        self._loop.call_soon_threadsafe(register)

    def _give_up(self, error: aiomqtt.MqttError) -> None:
        """End the waiting of all who wait for an answer: none will come, or not a good one."""
        self._over = self._over or error
        for published in self._pending_publishes.values():
            published.set()
        for asked in self._pending_subscribes.values():
            if not asked.done():
                asked.set_exception(self._over)


def code_of(reason: int | ReasonCode | None) -> int:
    """Return an answer of the broker as a number."""
    return reason if isinstance(reason, int) else int(reason.value) if reason else 0


def _fail(future: "asyncio.Future[None]", error: aiomqtt.MqttError) -> None:
    """Set an error that nobody need ask for."""
    future.set_exception(error)
    future.exception()
