"""What stands before and after every handler: the host's name, errors in words, headers.

A page of ours runs no script, loads nothing from elsewhere, sets no cookie and
may not be framed; the headers make the browser hold us to it. A name in `Host`
that is neither an address nor configured is refused: that is how a hostile page
reads a server on the reader's own machine (DNS rebinding).
"""

import sqlite3
import traceback
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from ipaddress import ip_address

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from linewatch_core.errors import LimitError, LinewatchError
from linewatch_server.web.answers import ErrorAnswer
from linewatch_server.web.api import answer
from linewatch_server.web.refusals import RefusedError, WrongHostError
from linewatch_server.web.site import SITE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "Linewatch",
}
_COMPRESS_FROM_BYTES = 2_000

log = structlog.get_logger(__name__)


async def set_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Set the headers of every response; what is shown stays in no cache but the reader's page."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def host_guard(hosts: frozenset[str]) -> Middleware:
    """Return a middleware that refuses requests addressed to other names than `hosts`."""

    @web.middleware
    async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = host_name(request.host)
        if not _is_address(name) and name not in hosts:
            raise WrongHostError(
                f"cannot answer as {name[:80]!r}: add this name to `web.hosts` in server.toml, "
                "or use the server's address"
            )
        return await handler(request)

    return check_host


@web.middleware
async def tell_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into one sentence, as a page or as JSON; compress what is long."""
    try:
        response = await handler(request)
    except RefusedError as error:
        response = _tell(request, error.status, str(error))
    except LimitError as error:
        response = _tell(request, 400, str(error))
    except web.HTTPException as error:
        response = _tell_http(request, error)
    except sqlite3.Error as error:
        log.error("page_failed", reason=str(error), kind=type(error).__name__)
        text = "cannot read the index: it is being made anew, or is damaged; try again in a minute"
        response = _tell(request, 503, text)
    except LinewatchError as error:
        log.error("page_failed", reason=str(error), kind=type(error).__name__)
        response = _tell(request, 500, str(error))
    except Exception as error:
        # Not log.exception: its locals would put whole answers into the log.
        log.error("page_failed", trace="".join(traceback.format_exception(error)))
        text = "cannot answer: an error in the server; its log has the details"
        response = _tell(request, 500, text)
    body = response.body if isinstance(response, web.Response) else None
    if isinstance(body, bytes) and len(body) > _COMPRESS_FROM_BYTES:
        response.enable_compression()
    return response


def host_name(host: str) -> str:
    """Return the name in a `Host` header, lower case, without its port and a last dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _tell_http(request: web.Request, error: web.HTTPException) -> web.Response:
    if error.status == 404:
        return _tell(request, 404, f"cannot show {request.path[:80]!r}: there is no such page")
    if error.status == 405:
        return _tell(request, 405, "cannot do that: this server only shows; use GET")
    return _tell(request, error.status, f"cannot answer: {error.reason}")


def _tell(request: web.Request, status: int, text: str) -> web.Response:
    """Return an error as its reader expects it."""
    if request.path.startswith(("/api/", "/healthz")):
        return answer(ErrorAnswer(error=text), status=status)
    title = HTTPStatus(status).phrase
    html = request.app[SITE].render("error.html", status=status, title=title, text=text)
    return web.Response(text=html, status=status, content_type="text/html")
