"""The page for the home's own network: what it answers, to whom, and whom it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from linewatch_agent import status_page
from linewatch_agent.plan.config import load_config
from linewatch_agent.status_page import StatusPage, for_the_home
from tests.agent.test_status_words import STATUS
from tests.support.broker import free_ports


@asynccontextmanager
async def serving(host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve the page; yield where."""
    where = f"{host}:{free_ports(1)[0]}"
    task = asyncio.create_task(StatusPage(where, lambda: STATUS).run())
    try:
        yield where
    finally:
        task.cancel()
        async with asyncio.timeout(120):
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def say(where: str, request: bytes) -> bytes:
    """Send bytes and return all that comes back, once somebody listens."""
    host, _, port = where.rpartition(":")
    async with asyncio.timeout(60):
        while True:
            try:
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
        writer.write(request)
        try:
            return await reader.read()
        except (ConnectionResetError, BrokenPipeError):
            return b""
        finally:
            writer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_a_browser_in_the_home_reads_the_status(host: str) -> None:
    """Plain text that runs nothing, under the address that was configured."""
    async with serving(host) as where:
        load_config(f'[status]\npage = "{where}"', name="f.toml")
        told = await say(where, f"GET / HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: text/plain; charset=utf-8" in head
    assert b"default-src 'none'" in head
    assert b"fixed-1      fixed, works for" in body
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize(
    ("request_line", "host", "status"),
    [
        ("GET / HTTP/1.1", "evil.example", 421),
        ("GET / HTTP/1.1", "localhost", 421),
        ("POST / HTTP/1.1", None, 405),
        ("GET /status?x=1 HTTP/1.1", None, 404),
    ],
)
async def test_whatever_else_is_asked_is_refused(
    request_line: str, host: str | None, status: int
) -> None:
    """Another name (a page that rebinds its own), another method, another path."""
    async with serving() as where:
        asked = f"{request_line}\r\nHost: {host or where}\r\n\r\n".encode()
        told = await say(where, asked)
    assert told.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"fixed-1" not in told


async def test_the_head_alone_may_be_asked_for() -> None:
    """It has no body."""
    async with serving() as where:
        told = await say(where, f"HEAD / HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
    assert told.startswith(b"HTTP/1.1 200 ")
    assert told.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "bytes_sent", [b"\x16\x03\x01 no HTTP\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000, b""]
)
async def test_who_speaks_nonsense_or_too_much_is_cut_off(
    bytes_sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who says nothing, after a while."""
    monkeypatch.setattr(status_page, "PATIENCE_S", 0.2)
    async with serving() as where:
        assert await say(where, bytes_sent) == b""


async def test_more_visitors_than_a_home_has_are_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who hold a place without a word lose it, and then others are served."""
    monkeypatch.setattr(status_page, "PATIENCE_S", 1.0)
    converse, seated, all_seated = StatusPage._converse, 0, asyncio.Event()

    async def sit_down(
        page: StatusPage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal seated
        seated += 1
        if seated == status_page.VISITORS_MAX:
            all_seated.set()
        await converse(page, reader, writer)

    monkeypatch.setattr(StatusPage, "_converse", sit_down)
    async with serving() as where:
        silent = [asyncio.create_task(say(where, b"")) for _ in range(status_page.VISITORS_MAX)]
        await all_seated.wait()
        asked = f"GET / HTTP/1.1\r\nHost: {where}\r\n\r\n".encode()
        assert await say(where, asked) == b""
        assert await asyncio.gather(*silent) == [b""] * status_page.VISITORS_MAX
        assert (await say(where, asked)).startswith(b"HTTP/1.1 200 ")


async def test_an_address_that_is_not_this_machines_yet_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Told once; the agent goes on."""
    monkeypatch.setattr(status_page, "RETRY_S", 0.01)
    with structlog.testing.capture_logs() as logs:
        async with serving("192.168.254.253"):
            await asyncio.sleep(0.2)
    assert [entry["event"] for entry in logs] == ["status_page_not_served"]


def test_what_was_found_blocked_stays_in_the_agent() -> None:
    """Whoever is in the home's network reads this."""
    line = {**STATUS["lines"][0], "target_verdicts": {"site": "sni_blocked"}}
    told = for_the_home({**STATUS, "lines": [line]})
    assert told["lines"][0]["target_verdicts"] == {}
    assert line["target_verdicts"]
