"""An MQTT client that can be cancelled at any moment."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import aiomqtt

_T = TypeVar("_T")


class BrokerClient(aiomqtt.Client):
    """aiomqtt's client, whose waiting loses no cancellation.

    aiomqtt uses asyncio.wait_for, which before Python 3.12 swallows one that meets the
    answer: who then waits for the task's end waits for ever (python/cpython#86296).
    """

    async def _wait_for(self, fut: Awaitable[_T], timeout: float | None) -> _T:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("Operation timed out") from None
