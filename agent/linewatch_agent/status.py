"""How the agent is asked how it is: JSON over a unix socket in its state folder.

Nothing is written to the card for it. The socket's full path may be longer
than the kernel allows, so it is reached through the folder's descriptor.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog

from linewatch_core.errors import LinewatchError

log = structlog.get_logger()

SOCKET_FILE = "status.sock"
ANSWER_S = 5.0
RETRY_S = 30.0


class NotRunningError(LinewatchError):
    """No agent answers in that state folder."""


class StatusServer:
    """Answers every connection with one JSON document."""

    def __init__(self, state_dir: Path, snapshot: Callable[[], dict[str, Any]]) -> None:
        self._state_dir = state_dir
        self._snapshot = snapshot

    async def run(self) -> None:
        """Serve, for ever; where no socket can be made (a full disk), try again later."""
        while True:
            try:
                server = await self._open()
            except OSError as error:
                log.warning("status_not_served", reason=error.strerror, retry_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
                continue
            async with server:
                await server.serve_forever()

    async def _open(self) -> asyncio.Server:
        sock = listen_at(self._state_dir, SOCKET_FILE)
        return await asyncio.start_unix_server(self._answer, sock=sock)

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer; whoever does not read in time is cut off, or he would hold up the agent's end."""
        try:
            async with asyncio.timeout(ANSWER_S):
                writer.write(json.dumps(self._snapshot()).encode())
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (ConnectionError, TimeoutError):
            writer.transport.abort()


def ask(state_dir: Path) -> dict[str, Any]:
    """Return the running agent's status.

    Raises:
        NotRunningError: none runs there, or it does not answer.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER_S)
            with short_path(state_dir, SOCKET_FILE) as path:
                sock.connect(path)
            chunks = []
            while chunk := sock.recv(65536):
                chunks.append(chunk)
        answer: dict[str, Any] = json.loads(b"".join(chunks))
    except PermissionError as error:
        raise NotRunningError(
            f"cannot read the status in {state_dir}: permission denied; "
            "run this as the agent's user, or with sudo"
        ) from error
    except (OSError, ValueError) as error:
        raise NotRunningError(
            f"no agent is running on {state_dir}; start one with `linewatch-agent run`, "
            "or name its folder with --state"
        ) from error
    return answer


def listen_at(state_dir: Path, name: str) -> socket.socket:
    """Return a unix socket bound to a file of the state folder; only its owner gets through.

    Raises:
        OSError: it can't be made there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The store's lock says that no other agent runs here: a leftover socket is nobody's.
        (state_dir / name).unlink(missing_ok=True)
        with short_path(state_dir, name) as path:
            sock.bind(path)
        (state_dir / name).chmod(0o600)
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def short_path(state_dir: Path, name: str) -> Iterator[str]:
    """Give a path to a socket of the state folder that is short whatever the folder's name is."""
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)
