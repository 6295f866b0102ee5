"""A web server on loopback with a release's manifest and archive, that can misbehave.

And a program that fetches from it once, as the agent's updater does, to be killed:

    python -m tests.support.release_server ROOT PORT [POINT COUNT]

Or the server alone, on all addresses, for the files `manifest` and `archive` of a folder:

    python -m tests.support.release_server serve FOLDER PORT
"""

import asyncio
import contextlib
import http.server
import re
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linewatch_agent.plan.line import Line
from linewatch_agent.plan.settings import UpdateConfig
from linewatch_agent.plan.updates import Situation
from linewatch_agent.releases.fetch import Connect
from linewatch_agent.releases.places import Places
from linewatch_agent.releases.shelf import Shelf
from linewatch_agent.releases.standing import standing_of
from linewatch_agent.releases.updater import Means, Updater
from linewatch_core.records import LineKind
from linewatch_core.verdict import LineVerdict
from tests.support.releases import PUBLIC, Made

LINE = Line("fixed-1", LineKind.FIXED, "lo", families=(4,))
MOBILE = Line("mobile-1", LineKind.MOBILE, "lo", families=(4,))
WELL = Situation(
    lines=(LINE,),
    verdicts={LINE.id: LineVerdict.OK},
    refuse_updates=False,
    connected=True,
    backlog=3,
    backfilling=False,
    on_trial=False,
)


@dataclass(slots=True)
class Site:
    """What the server has, and how it behaves.

    Attributes:
        ranges: whether it knows them.
        cut_after: it breaks off each answer after so many bytes.
        asked: the Range headers that came for the archive.
        on_archive: called before each answer with the archive.
    """

    made: Made
    ranges: bool = True
    cut_after: int | None = None
    shift: int = 0
    status: int | None = None
    asked: list[str] = field(default_factory=list)
    on_archive: Callable[[], None] = lambda: None
    port: int = 0
    tls: ssl.SSLContext | None = None


@contextlib.contextmanager
def served(site: Site, *, address: str = "127.0.0.1", port: int = 0) -> Iterator[Site]:
    """Serve a release, on loopback unless told otherwise."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = site.made.manifest
            if self.path != "/releases/manifest":
                site.asked.append(self.headers["Range"])
                site.on_archive()
                data = site.made.archive
            self._answer(data)

        def _answer(self, data: bytes) -> None:
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
            if site.status is not None:
                self._send(site.status, b"", {})
            elif found is None or not site.ranges:
                self._send(200, data, {})
            else:
                first, last = int(found[1]), min(int(found[2]), len(data) - 1)
                said = f"bytes {first + site.shift}-{last + site.shift}/{len(data)}"
                self._send(206, data[first : last + 1], {"Content-Range": said})

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data[: site.cut_after])
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer((address, port), Handler) as server:
        site.port = server.server_address[1]
        if site.tls is not None:
            server.socket = site.tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def connect_to(port: int, *, dead: str | None = None) -> Callable[[Line], Connect]:
    """Return what connects to the server on loopback, but not over the line `dead`."""

    def over(line: Line) -> Connect:
        def connect(_: str, __: int) -> socket.socket:
            if line.id == dead:
                raise OSError(113, "No route to host")
            return socket.create_connection(("127.0.0.1", port), timeout=5)

        return connect

    return over


def updater_for(
    places: Places,
    port: int,
    *,
    situation: Callable[[], Situation] = lambda: WELL,
    affords: Callable[[Line, int], bool] = lambda _, __: True,
    spend: Callable[[str, int], None] = lambda _, __: None,
    lines: Any = "all",
    dead: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> Updater:
    """Return an updater of a probe's tree that fetches from the server."""
    config = UpdateConfig(
        url=f"http{'s' if tls else ''}://example.org:{port}/releases/manifest",
        key=PUBLIC,
        lines=lines,
    )
    means = Means(
        situation=situation,
        standing=lambda: standing_of(Shelf(places)),
        connect=connect_to(port, dead=dead),
        affords=affords,
        spend=spend,
        tls=lambda: tls or ssl.create_default_context(),
    )
    return Updater(config, places.inbox, means, places=places)


def main() -> None:
    """Fetch once, or serve until killed."""
    root, port, *trap = sys.argv[1:]
    if root == "serve":
        folder = Path(port)
        made = Made("", (folder / "archive").read_bytes(), (folder / "manifest").read_bytes())
        with served(Site(made), address="0.0.0.0", port=int(trap[0])):
            threading.Event().wait()
    if trap:
        from tests.support.killed_at import set_trap

        set_trap(trap[0], int(trap[1]))
    print(asyncio.run(updater_for(Places(Path(root)), int(port)).look()))


if __name__ == "__main__":
    main()
