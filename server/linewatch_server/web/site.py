"""What every handler needs, in one value that the application carries."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from aiohttp import web
from jinja2 import Environment

from linewatch_server.web.questions import Questions

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The composition of one web application.

    Attributes:
        questions: what answers; it blocks, so call it by `outside`.
        now_ms: the wall clock, Unix ms of UTC.
        holds_key: whether this server can open segments at all.
        templates: the pages' templates.
        threads: how many requests may work at a time.
    """

    questions: Questions
    now_ms: Callable[[], int]
    holds_key: bool
    templates: Environment
    threads: asyncio.Semaphore

    def render(self, name: str, **values: object) -> str:
        """Return a page's HTML. Blocks for as long as the page is big."""
        return self.templates.get_template(name).render(
            now_ms=self.now_ms(), holds_key=self.holds_key, **values
        )


SITE = web.AppKey("site", Site)


async def outside(
    request: web.Request, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """Run a blocking function in a thread, a few at a time."""
    async with request.app[SITE].threads:
        return await asyncio.to_thread(partial(function, *args, **kwargs))
