"""What tests of the pages share: the types of their client."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestClient

Client: TypeAlias = TestClient[web.Request, web.Application]
Connect: TypeAlias = Callable[..., Awaitable[Client]]
