"""The portal check: the known answer, a login page instead of it, and a redirect to one."""

from typing import Any

import pytest

from linewatch_agent.checks.outcome import Outcome
from linewatch_core.details import PortalAnswer, PortalDetail
from linewatch_core.records import Check, Role
from linewatch_core.targets import Expected
from tests.agent.checks.lab import run_once
from tests.agent.checks.servers import (
    Handler,
    answer,
    dns_server,
    http_reply,
    reset,
    stream_server,
)

SUCCESS = "<HTML><BODY>Success</BODY></HTML>"
LOGIN = b"<html>please pay</html>"
NO_CONTENT = http_reply(b"", status="204 No Content")


async def checked(handler: Handler, **changes: Any) -> Outcome:
    """Return the outcome of a portal check of a handler."""
    async with stream_server(handler) as port:
        url = f"http://127.0.0.1:{port}/generate_204"
        return await run_once(Check.PORTAL, "127.0.0.1", role=Role.PORTAL, url=url, **changes)


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (NO_CONTENT, Expected()),
        (http_reply(SUCCESS.encode() + b"\n"), Expected(status=200, body=SUCCESS)),
    ],
)
async def test_the_known_answer_is_fine(handler: Handler, expected: Expected) -> None:
    """204 without a body, or a fixed body but for outer space."""
    outcome = await checked(handler, expected=expected)
    assert outcome.failure is None
    assert isinstance(outcome.detail, PortalDetail)
    assert outcome.detail.answer is PortalAnswer.FINE
    assert outcome.rtt_us is not None
    assert outcome.bytes_in > 0


@pytest.mark.parametrize(
    "expected", [Expected(), Expected(status=200, body=SUCCESS)], ids=["204", "body"]
)
async def test_a_redirect_to_a_login_page_is_told_with_its_place(expected: Expected) -> None:
    """Host and path of where it leads, so that rules can see that all lead to one page."""
    page = http_reply(
        b"", status="302 Found", headers="Location: http://pay.example.net/top-up?mac=aa\r\n"
    )
    outcome = await checked(page, expected=expected)
    assert outcome.failure == "http_unexpected_redirect"
    assert isinstance(outcome.detail, PortalDetail)
    assert outcome.detail.answer is PortalAnswer.REDIRECTED
    assert outcome.detail.location == "pay.example.net/top-up"


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (http_reply(LOGIN), Expected()),
        (http_reply(LOGIN), Expected(status=200, body=SUCCESS)),
        (http_reply(SUCCESS.encode(), status="511 Login"), Expected(status=200, body=SUCCESS)),
        (NO_CONTENT, Expected(status=200, body=SUCCESS)),
    ],
)
async def test_another_answer_in_place_is_rewritten(handler: Handler, expected: Expected) -> None:
    """A login page under the vendor's URL, or any other status or body."""
    outcome = await checked(handler, expected=expected)
    assert outcome.failure == "http_unexpected_page"
    assert isinstance(outcome.detail, PortalDetail)
    assert outcome.detail.answer is PortalAnswer.REWRITTEN


async def test_a_long_page_costs_little() -> None:
    """Of a page in the answer's place only the beginning is read and hashed."""
    outcome = await checked(http_reply(bytes(1_000_000)))
    assert isinstance(outcome.detail, PortalDetail)
    assert outcome.detail.body_bytes == 4_096


async def test_no_answer_is_the_failure_of_the_fetch() -> None:
    """A reset is not a portal."""
    outcome = await checked(reset)
    assert (outcome.failure, outcome.detail) == ("connection_reset", None)


async def test_a_router_that_answers_for_every_name_is_the_gateway() -> None:
    """A spoofed name leads to the host's own router: told as such, without its page's hash."""
    async with (
        stream_server(http_reply(LOGIN), host="127.0.0.3") as port,
        dns_server(lambda q: [(0, answer(q, "127.0.0.3"))]) as (dns_port, _),
    ):
        outcome = await run_once(
            Check.PORTAL,
            "check.example.org",
            role=Role.PORTAL,
            url=f"http://check.example.org:{port}/204",
            dns_port=dns_port,
        )
    assert (outcome.failure, outcome.address) == ("http_unexpected_page", None)
    assert outcome.detail == PortalDetail(PortalAnswer.REWRITTEN, 0, 0, "", "@gateway")
