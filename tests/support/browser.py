"""Headless Chromium as a reader's browser: pictures, the DOM, the console, what it asked for.

It may reach this machine's loopback only: all else goes to a proxy that is not
there, and no name is looked up. As a program it takes pictures: tools/screenshot.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from linewatch_server.web import make_web_app
from linewatch_server.web.questions import Questions
from tests.support.example_fleet import NOW_MS, fill_day

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "coordinator.png"
PATIENCE_S = 90.0

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-dev-shm-usage", "--disable-extensions", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-default-apps", "--disable-domain-reliability", "--no-pings"),
    *("--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=127.0.0.1"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--enable-logging=stderr",
)


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of opening a page.

    Attributes:
        dom: the page as the browser understood it.
        console: what the browser's console says, a message a line.
        requested: every URL that the page made it ask for.
    """

    dom: str
    console: tuple[str, ...]
    requested: tuple[str, ...]


@asynccontextmanager
async def serving(
    questions: Questions, *, now_ms: int = NOW_MS, holds_key: bool = True
) -> AsyncIterator[str]:
    """Serve pages on a free port of loopback; give the address, such as http://127.0.0.1:4711."""
    app = make_web_app(questions, now_ms=lambda: now_ms, holds_key=holds_key)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def visit(url: str) -> Visit:
    """Open a page with scripts switched off, as Tor Browser does at its safest level."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "net.json"
        dom, messages = await _chromium(
            folder,
            "--blink-settings=scriptEnabled=false",
            f"--log-net-log={log}",
            "--dump-dom",
            url,
        )
        console = tuple(line for line in messages.splitlines() if ":CONSOLE" in line)
        return Visit(dom, console, _requested(log))


async def take_picture(url: str, path: Path, *, width: int, height: int) -> None:
    """Write a picture of a page to a PNG."""
    with tempfile.TemporaryDirectory() as folder:
        await _chromium(folder, f"--window-size={width},{height}", f"--screenshot={path}", url)
    size = await asyncio.to_thread(path.stat)
    assert size.st_size > 0, f"chromium wrote nothing to {path}"


async def _chromium(folder: str, *arguments: str) -> tuple[str, str]:
    program = shutil.which("chromium")
    assert program, "this test needs chromium: sudo apt-get install chromium (make test-all does)"
    process = await asyncio.create_subprocess_exec(
        *(program, *_FLAGS, f"--user-data-dir={folder}/profile", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"HOME": folder},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode(errors="replace")[-2000:]
    return out.decode(), err.decode(errors="replace")


def _requested(log: Path) -> tuple[str, ...]:
    """Return the URLs of the requests in a net log."""
    net = json.loads(log.read_text())
    starts = net["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    found = (event for event in net["events"] if event["type"] == starts)
    urls = (event.get("params", {}).get("url") for event in found)
    return tuple(sorted({url for url in urls if url}))


async def _main(arguments: list[str]) -> None:
    match arguments:
        case []:
            with tempfile.TemporaryDirectory() as folder:
                async with serving(fill_day(Path(folder))) as address:
                    await take_picture(f"{address}/", PICTURE, width=1600, height=1240)
        case [url, path]:
            await take_picture(url, Path(path), width=1600, height=1240)
        case [url, path, width, height]:
            await take_picture(url, Path(path), width=int(width), height=int(height))
        case _:
            sys.exit("usage: tools/screenshot [URL OUT.png [WIDTH HEIGHT]]")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
