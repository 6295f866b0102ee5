"""Which version of MQTT an endpoint speaks: 5, which says what it refuses, else 3.1.1.

Known for a day, and in memory only. A broker that does not know version 5 may say so, and
is asked again at once; or just hang up, as a censor does who must not make us pay for two
connections each time: so only the first hang-up is answered at once, later tries take the
versions in turn. Whoever can cut a connection can so bring us down to 3.1.1, for a day: we
are then told of no refused publish, and find out by the missing ack.
Source: docs/decisions/0025-mqtt-5-first.md.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiomqtt

from linewatch_agent import clock
from linewatch_agent.mqtt.client import LineClient, Version
from linewatch_agent.mqtt.connect_problem import RefusedError
from linewatch_agent.mqtt.strict import HungUpError
from linewatch_agent.plan.endpoint import Endpoint

HOLD_S = 24 * 3600.0
"""How long what worked is taken for what works."""
UNSUPPORTED_VERSION = 0x84
_OTHER = {Version.V5: Version.V311, Version.V311: Version.V5}


class Versions:
    """What is known of the endpoints since the agent started."""

    def __init__(self, now_s: Callable[[], float] = clock.mono_s) -> None:
        self._now_s = now_s
        self._worked: dict[Endpoint, tuple[Version, float]] = {}
        self._next: dict[Endpoint, Version] = {}

    def choose(self, endpoint: Endpoint) -> Version:
        """Return the version to speak."""
        return self._known(endpoint) or self._next.get(endpoint, Version.V5)

    def works(self, endpoint: Endpoint, version: Version) -> None:
        """The broker took a connection of that version."""
        if self._known(endpoint) is not version:
            self._worked[endpoint] = (version, self._now_s())
        self._next.pop(endpoint, None)

    def failed(self, endpoint: Endpoint, version: Version, error: aiomqtt.MqttError) -> bool:
        """Learn from an attempt that failed; return whether to try the other version at once."""
        refused = isinstance(error, RefusedError) and error.code == UNSUPPORTED_VERSION
        may_be_it = isinstance(error, HungUpError) and self._known(endpoint) is None
        if not refused and not may_be_it:
            return False
        is_first = endpoint not in self._next
        self._worked.pop(endpoint, None)
        self._next[endpoint] = _OTHER[version]
        return refused or is_first

    def _known(self, endpoint: Endpoint) -> Version | None:
        version, since_s = self._worked.get(endpoint, (None, 0.0))
        return version if self._now_s() - since_s < HOLD_S else None


@asynccontextmanager
async def connected(
    endpoint: Endpoint, make: Callable[..., LineClient], *, versions: Versions | None = None
) -> AsyncIterator[LineClient]:
    """Connect to `endpoint` in the version that it speaks; yield the client.

    Args:
        make: returns a new client that speaks its argument `version`.
        versions: what is known of endpoints, to be learnt from; None: nothing.
    Raises:
        aiomqtt.MqttError: as LineClient does.
    """
    versions = versions or Versions()
    async with AsyncExitStack() as stack:
        version = versions.choose(endpoint)
        try:
            client = await stack.enter_async_context(make(version=version))
        except aiomqtt.MqttError as error:
            if not versions.failed(endpoint, version, error):
                raise
            version = _OTHER[version]
            client = await stack.enter_async_context(make(version=version))
        versions.works(endpoint, version)
        yield client
