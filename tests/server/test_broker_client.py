"""The collector's client ends when it is told to."""

import asyncio

import aiomqtt
import pytest

from linewatch_server.broker_client import BrokerClient


async def test_a_cancellation_that_meets_the_answer_is_not_lost() -> None:
    """Whoever ends the task waits for its end; a library that swallows it would have us hang."""
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(BrokerClient("127.0.0.1")._wait_for(answer, None))
    await asyncio.sleep(0)
    answer.set_result(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_an_answer_that_does_not_come_is_an_error() -> None:
    """After the time given, and as aiomqtt says it."""
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with pytest.raises(aiomqtt.MqttError, match="timed out"):
        await BrokerClient("127.0.0.1")._wait_for(answer, 0.01)
