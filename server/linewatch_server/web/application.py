"""Puts the web application together: routes, guards, and what handlers need."""

import asyncio
from collections.abc import Callable, Collection

from aiohttp import web

from linewatch_server.clock import ServerClock
from linewatch_server.web.documents import DESCRIPTION
from linewatch_server.web.endpoints import ENDPOINTS
from linewatch_server.web.guard import host_guard, set_headers, tell_errors
from linewatch_server.web.openapi import describe
from linewatch_server.web.questions import Questions
from linewatch_server.web.rendering import make_environment
from linewatch_server.web.site import SITE, Site

THREADS = 4
"""Requests that work at a time; others wait. Each may hold a page's cells in memory."""


def make_web_app(
    queries: Questions,
    *,
    now_ms: Callable[[], int] | None = None,
    holds_key: bool = True,
    hosts: Collection[str] = (),
) -> web.Application:
    """Return the application of all pages and of the API.

    Args:
        queries: answers from the index (`index.queries.Queries`), in any thread.
        now_ms: the wall clock, Unix ms of UTC; default: this machine's.
        holds_key: whether the server holds a key to open segments with.
        hosts: names by which browsers may address the server, beside `localhost`
            and any IP address.
    """
    names = frozenset({"localhost", *(name.rstrip(".").lower() for name in hosts)})
    app = web.Application(middlewares=[tell_errors, host_guard(names)])
    app[SITE] = Site(
        questions=queries,
        now_ms=now_ms or ServerClock().utc_ms,
        holds_key=holds_key,
        templates=make_environment(),
        threads=asyncio.Semaphore(THREADS),
    )
    app[DESCRIPTION] = describe(ENDPOINTS)
    for endpoint in ENDPOINTS:
        app.router.add_get(endpoint.path, endpoint.handler)
    app.on_response_prepare.append(set_headers)
    return app
