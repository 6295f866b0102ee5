"""Listening: where it was asked to, or a sentence."""

import asyncio
import logging
import socket

import aiohttp
import pytest

from linewatch_server.index.queries import Queries
from linewatch_server.web import make_web_app, serve
from linewatch_server.web.serving import ServingError
from tests.support.broker import free_ports


async def test_serves_until_cancelled(half_hour: Queries, caplog: pytest.LogCaptureFixture) -> None:
    """Pages are served until the task is cancelled, and nobody writes down who read them."""
    (port,) = free_ports(1)
    caplog.set_level(logging.DEBUG)
    task = asyncio.create_task(serve(make_web_app(half_hour), host="127.0.0.1", port=port))
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(120):
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/healthz") as reply:
                        assert reply.status == 200
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "healthz" not in caplog.text


async def test_taken_port_is_told(half_hour: Queries) -> None:
    """A port in use gives one line that names the place and the key."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServingError) as caught:
            await serve(make_web_app(half_hour), host="127.0.0.1", port=port)
    text = str(caught.value)
    assert f"127.0.0.1:{port}" in text
    assert "`web.port` in server.toml" in text
    assert "\n" not in text


async def test_foreign_address_is_told(half_hour: Queries) -> None:
    """An address that this machine does not have gives one line that names the key."""
    with pytest.raises(ServingError, match=r"`web\.bind` in server\.toml"):
        await serve(make_web_app(half_hour), host="192.0.2.1", port=free_ports(1)[0])
