"""Answers that do not change while the server runs: the style, no icon, the API's description."""

import msgspec
from aiohttp import web

from linewatch_server.web.rendering import STYLE

DESCRIPTION = web.AppKey("description", dict[str, object])


async def get_style(_: web.Request) -> web.Response:
    """Answer with the style of all pages; its link changes when it does."""
    return web.Response(
        body=STYLE,
        content_type="text/css",
        charset="utf-8",
        headers={"Cache-Control": "max-age=86400"},
    )


async def get_icon(_: web.Request) -> web.Response:
    """Answer a browser's question for an icon: there is none."""
    return web.Response(status=204, headers={"Cache-Control": "max-age=86400"})


async def get_openapi(request: web.Request) -> web.Response:
    """Answer with the API's description."""
    body = msgspec.json.format(msgspec.json.encode(request.app[DESCRIPTION]), indent=1)
    return web.Response(body=body, content_type="application/json")
