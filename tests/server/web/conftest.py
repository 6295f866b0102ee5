"""The example fleets, built once, and a client of the pages over them."""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from linewatch_server.index.queries import Queries
from linewatch_server.web import make_web_app
from linewatch_server.web.questions import Questions
from tests.support.example_fleet import NOW_MS, fill_day, fill_half_hour
from tests.support.pages import Client, Connect


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Queries:
    """A day of three probes."""
    return fill_day(tmp_path_factory.mktemp("day"))


@pytest.fixture(scope="session")
def half_hour(tmp_path_factory: pytest.TempPathFactory) -> Queries:
    """The first half hour of one probe."""
    return fill_half_hour(tmp_path_factory.mktemp("half"))


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Give a function that serves pages over questions and returns a client of them."""
    async with AsyncExitStack() as stack:

        async def start(
            questions: Questions, *, holds_key: bool = True, hosts: Collection[str] = ()
        ) -> Client:
            app = make_web_app(
                questions,
                now_ms=lambda: NOW_MS,
                holds_key=holds_key,
                hosts=hosts,
            )
            return await stack.enter_async_context(TestClient(TestServer(app)))

        yield start


@pytest.fixture
def nowhere(tmp_path: Path) -> Queries:
    """Questions on a directory that has no index."""
    return Queries(tmp_path)
