"""Headless Chromium as a reader's browser, with scripts switched off: what it shows and asks for.

Driven over its debugging port on loopback. It may reach loopback only: all else
goes to a proxy that is not there, and no name is looked up. As a program it
takes pictures: tools/screenshot. Source: the Chrome DevTools Protocol.
"""

import asyncio
import base64
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from linewatch_server.web import make_web_app
from linewatch_server.web.questions import Questions
from tests.support.example_fleet import NOW_MS, fill_day

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "coordinator.png"
PATIENCE_S = 120.0

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-dev-shm-usage", "--disable-extensions", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-default-apps", "--disable-domain-reliability", "--no-pings"),
    *("--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=127.0.0.1"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of opening a page.

    Attributes:
        dom: the page as the browser understood it.
        console: what the browser complained of.
        requested: every URL that the page made it ask for, in order.
        width: how wide the page is, in CSS pixels; more than the window if it must be scrolled.
        picture: a PNG of the window.
    """

    dom: str
    console: tuple[str, ...]
    requested: tuple[str, ...]
    width: int
    picture: bytes


@dataclass(slots=True)
class _Tab:
    """One page of the browser, over its socket; events are kept as they come."""

    socket: aiohttp.ClientWebSocketResponse
    events: list[dict[str, Any]] = field(default_factory=list)
    _calls: int = 0

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """Run one command and return its result."""
        self._calls += 1
        await self.socket.send_json({"id": self._calls, "method": method, "params": params})
        while True:
            message = await self._receive()
            if message.get("id") == self._calls:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result

    async def until(self, event: str) -> None:
        """Wait for an event of that name."""
        while not any(seen["method"] == event for seen in self.events):
            await self._receive()

    def seen(self, event: str) -> list[dict[str, Any]]:
        """Return the parameters of all events of that name."""
        return [seen["params"] for seen in self.events if seen["method"] == event]

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.socket.receive_json()
        if "method" in message:
            self.events.append(message)
        return message


@asynccontextmanager
async def serving(
    questions: Questions, *, now_ms: int = NOW_MS, holds_key: bool = True
) -> AsyncIterator[str]:
    """Serve pages on a free port of loopback; give the address, such as http://127.0.0.1:4711."""
    app = make_web_app(questions, now_ms=lambda: now_ms, holds_key=holds_key)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def visit(url: str, *, width: int = 1600, height: int = 1240) -> Visit:
    """Open a page in a window of that size, without scripts, as Tor Browser's safest level does."""
    async with asyncio.timeout(PATIENCE_S), _tab() as tab:
        for domain in ("Page", "Network", "Log", "Runtime", "DOM"):
            await tab.call(f"{domain}.enable")
        await tab.call("Emulation.setScriptExecutionDisabled", value=True)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await tab.call("Emulation.setDeviceMetricsOverride", **metrics)
        await tab.call("Page.navigate", url=url)
        await tab.until("Page.loadEventFired")
        document = await tab.call("DOM.getDocument", depth=0)
        dom = await tab.call("DOM.getOuterHTML", nodeId=document["root"]["nodeId"])
        layout = await tab.call("Page.getLayoutMetrics")
        picture = await tab.call("Page.captureScreenshot", format="png")
        return Visit(
            dom=dom["outerHTML"],
            console=tuple(e["entry"]["text"] for e in tab.seen("Log.entryAdded"))
            + tuple(str(e["args"]) for e in tab.seen("Runtime.consoleAPICalled")),
            requested=tuple(e["request"]["url"] for e in tab.seen("Network.requestWillBeSent")),
            width=layout["cssContentSize"]["width"],
            picture=base64.b64decode(picture["data"]),
        )


@asynccontextmanager
async def _tab() -> AsyncIterator[_Tab]:
    program = shutil.which("chromium")
    assert program, "cannot open a page: there is no chromium; sudo apt-get install chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        profile = Path(home) / "profile"
        process = await asyncio.create_subprocess_exec(
            *(program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | {"HOME": home, "TMPDIR": home},
            start_new_session=True,
        )
        try:
            port = await _debugging_port(profile / "DevToolsActivePort", process)
            async with aiohttp.ClientSession() as session:
                pages: list[dict[str, str]] = []
                while not pages:  # it may listen before it has opened its first
                    await asyncio.sleep(0.05)
                    async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
                        pages = [tab for tab in await reply.json() if tab["type"] == "page"]
                url = pages[0]["webSocketDebuggerUrl"]
                async with session.ws_connect(url, max_msg_size=0) as socket:
                    yield _Tab(socket)
        finally:
            # Its own session: so all of its helper processes end with it, and nothing else.
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _debugging_port(path: Path, process: asyncio.subprocess.Process) -> int:
    while process.returncode is None:
        try:
            return int((await asyncio.to_thread(path.read_text)).split()[0])
        except (FileNotFoundError, IndexError):
            await asyncio.sleep(0.05)
    raise AssertionError(f"chromium ended with {process.returncode} before it could be used")


async def _main(arguments: list[str]) -> None:
    match arguments:
        case []:
            with tempfile.TemporaryDirectory() as folder:
                async with serving(fill_day(Path(folder))) as address:
                    seen = await visit(f"{address}/")
            await asyncio.to_thread(PICTURE.write_bytes, seen.picture)
        case [url, path, *size] if len(size) in {0, 2}:
            width, height = map(int, size or (1600, 1240))
            seen = await visit(url, width=width, height=height)
            await asyncio.to_thread(Path(path).write_bytes, seen.picture)
        case _:
            sys.exit("usage: tools/screenshot [URL OUT.png [WIDTH HEIGHT]]")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
