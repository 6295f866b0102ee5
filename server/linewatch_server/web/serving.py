"""Listens for browsers until cancelled. Keeps no log of who asked for what."""

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog
from aiohttp import web

from linewatch_core.errors import LinewatchError

log = structlog.get_logger(__name__)

_GRACE_S = 5.0


class ServingError(LinewatchError):
    """The pages cannot be served where server.toml says; the message is one line."""


async def serve(
    app: web.Application, *, host: str, port: int, on_open: Callable[[], None] = lambda: None
) -> None:
    """Serve `app` on host:port. Returns never; cancel it to stop.

    Args:
        on_open: called once the port is open.
    Raises:
        ServingError: the port is taken, or the address is not to be had.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            raise ServingError(_why(error, host, port)) from error
        log.info("pages_served", host=host, port=port)
        on_open()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _why(error: OSError | OverflowError, host: str, port: int) -> str:
    where = f"cannot serve the pages on {host}:{port}"
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"{where}: the port is taken; free it, or set another `web.port` in server.toml"
    if code == errno.EACCES:
        return f"{where}: no right to use it; set `web.port` in server.toml to 1024 or above"
    # From Python 3.13 on asyncio tells an address that is not here without an errno.
    if code in (errno.EADDRNOTAVAIL, None) or isinstance(error, socket.gaierror):
        return f"{where}: this machine has no such address; set `web.bind` in server.toml"
    return f"{where}: {error}; set `web.bind` and `web.port` in server.toml"
