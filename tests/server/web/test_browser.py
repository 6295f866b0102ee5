"""The pages in a real browser, with scripts switched off."""

import re

import pytest

from linewatch_server.index.queries import Queries
from tests.support.browser import serving, visit


async def test_reads_without_script(day: Queries) -> None:
    """All cells are there, the console is silent, and nobody else is asked for anything."""
    async with serving(day) as address:
        seen = await visit(f"{address}/")
        style = re.search(r'href="(/static/linewatch\.css[^"]*)"', seen.dom)
        assert style is not None
        expected = [f"{address}/", address + style[1]]
    assert seen.dom.count("#line-") == 6 * 72
    assert ">R</a>" in seen.dom
    assert seen.console == ()
    assert [url for url in seen.requested if not url.endswith("/favicon.ico")] == expected


async def test_probe_page_reads_without_script(half_hour: Queries) -> None:
    """A probe's page is whole too."""
    async with serving(half_hour) as address:
        seen = await visit(f"{address}/probe/{half_hour.fleet()[0].probe}")
        assert all(url.startswith(f"{address}/") for url in seen.requested)
    assert seen.dom.count('<th scope="row">bank</th>') == 2
    assert seen.console == ()


async def test_a_foreign_load_would_be_noticed(
    day: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that loads what its policy forbids shows in the console: the tests above can fail."""
    monkeypatch.setattr("linewatch_server.web.rendering.STYLE_PATH", "http://127.0.0.1:9/x.css")
    async with serving(day) as address:
        seen = await visit(f"{address}/")
    assert any("Content Security Policy" in message for message in seen.console)


@pytest.mark.parametrize("width", [360, 768, 1600])
async def test_pages_fit_their_window(day: Queries, width: int) -> None:
    """From a phone to a desk, no page must be scrolled sideways."""
    async with serving(day) as address:
        for path in ("/", f"/probe/{day.fleet()[2].probe}", "/nothing"):
            seen = await visit(address + path, width=width)
            assert seen.width == width
            assert int.from_bytes(seen.picture[16:20]) == width


async def test_a_page_too_wide_would_be_noticed(
    day: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without our style a page is wider than a phone: the test above can fail."""
    monkeypatch.setattr("linewatch_server.web.documents.STYLE", b"body { width: 999px }")
    async with serving(day) as address:
        assert (await visit(f"{address}/", width=360)).width > 360
