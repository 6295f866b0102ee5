"""How a running agent hands out segments: a unix socket in its state folder.

The agent alone reads its store; whoever exports asks it, and writes the files
himself. A request is one line of JSON, the answer items of `u32 length ‖ bytes`
and a length of 0 when that was all. Only the agent's user and root get through.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import structlog

from linewatch_agent.status import listen_at, short_path
from linewatch_agent.store.giving import Wanted
from linewatch_core.errors import LinewatchError

log = structlog.get_logger()

SOCKET_FILE = "export.sock"
STALL_S = 60.0
"""A carrier that takes nothing for so long (a slow stick that syncs) is given up."""
RETRY_S = 30.0
_LENGTH = struct.Struct("<I")

Items = Callable[[Wanted], AsyncIterator[bytes]]
"""Yields what is wanted."""


class NoAnswerError(LinewatchError):
    """The agent did not hand out all; run the same again."""


class ExportServer:
    """Hands out what each connection wants."""

    def __init__(self, state_dir: Path, items: Items) -> None:
        self._state_dir = state_dir
        self._items = items

    async def run(self) -> None:
        """Serve, for ever; where no socket can be made (a full disk), try again later."""
        while True:
            try:
                sock = listen_at(self._state_dir, SOCKET_FILE)
                server = await asyncio.start_unix_server(self._answer, sock=sock)
            except OSError as error:
                log.warning("export_not_served", reason=error.strerror, retry_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
                continue
            async with server:
                await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(STALL_S):
                wanted = msgspec.json.decode(await reader.readuntil(b"\n"), type=Wanted)
            async for item in self._items(wanted):
                writer.write(_LENGTH.pack(len(item)) + item)
                async with asyncio.timeout(STALL_S):
                    await writer.drain()
            writer.write(_LENGTH.pack(0))
            async with asyncio.timeout(STALL_S):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, LinewatchError):
            # A carrier that goes away, or a full disk: it sees that the end is missing.
            writer.transport.abort()


def ask_for(state_dir: Path, wanted: Wanted) -> Iterator[bytes] | None:
    """Return the items that the running agent hands out, or None if none runs there.

    Raises (also while iterating):
        NoAnswerError: the agent ended, or permission is missing.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(STALL_S)
    try:
        with short_path(state_dir, SOCKET_FILE) as path:
            sock.connect(path)
    except PermissionError as error:
        sock.close()
        raise NoAnswerError(
            f"cannot export from {state_dir}: permission denied; "
            "run this as the agent's user, or with sudo"
        ) from error
    except OSError:
        sock.close()
        return None
    return _received(sock, wanted)


def _received(sock: socket.socket, wanted: Wanted) -> Iterator[bytes]:
    with sock, sock.makefile("rb") as stream, _told():
        sock.sendall(msgspec.json.encode(wanted) + b"\n")
        while length := _LENGTH.unpack(stream.read(_LENGTH.size))[0]:
            item = stream.read(length)
            if len(item) < length:
                raise OSError("it ended")
            yield item


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, struct.error) as error:
        raise NoAnswerError(
            "cannot export all: the agent stopped in the middle; run the same again"
        ) from error
