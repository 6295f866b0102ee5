"""What stands around every answer: headers, the host's name, methods."""

import pytest

from linewatch_server.index.queries import Queries
from linewatch_server.web.guard import host_name
from tests.support.pages import Connect

PATHS = ("/", "/nothing", "/?range=x", "/api/fleet", "/static/linewatch.css", "/favicon.ico")


@pytest.mark.parametrize("path", PATHS)
async def test_headers_on_every_answer(half_hour: Queries, connect: Connect, path: str) -> None:
    """Every answer, errors too, forbids scripts, frames, foreign loads, referrers and guessing."""
    reply = await (await connect(half_hour)).get(path)
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Server"] == "Linewatch"
    assert "Set-Cookie" not in reply.headers
    assert reply.headers["Cache-Control"] in {"no-store", "max-age=86400"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("localhost", 200),
        ("LOCALHOST.:80", 200),
        ("linewatch.example:8080", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:8080", 421),
    ],
)
async def test_foreign_names_are_refused(
    half_hour: Queries, connect: Connect, host: str, status: int
) -> None:
    """Only addresses, localhost and configured names are answered (DNS rebinding)."""
    client = await connect(half_hour, hosts=["Linewatch.example"])
    reply = await client.get("/api/fleet", headers={"Host": host})
    assert reply.status == status
    if status == 421:
        assert "`web.hosts`" in (await reply.json())["error"]


def test_host_names() -> None:
    """The name in a Host header is found with and without port and brackets."""
    assert host_name("[FE80::1]:80") == "fe80::1"
    assert host_name("[::1]") == "::1"
    assert host_name("a.example.:80") == "a.example"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_only_reads(half_hour: Queries, connect: Connect, method: str) -> None:
    """Nothing can be changed over the web."""
    reply = await (await connect(half_hour)).request(method, "/api/fleet")
    assert reply.status == 405
    assert "use GET" in (await reply.json())["error"]


async def test_long_answers_are_compressed(half_hour: Queries, connect: Connect) -> None:
    """A page crosses a slow line compressed."""
    reply = await (await connect(half_hour)).get("/", headers={"Accept-Encoding": "gzip"})
    assert reply.headers["Content-Encoding"] == "gzip"
