"""The portal check: a vendor's URL whose answer is known, and whether it was that one.

A page of the host's own devices is told as the gateway's, without its hash: it
would tell the make of the host's router. Source: docs/targets.md.
"""

from dataclasses import replace

from yarl import URL

from linewatch_agent.checks.failures import HTTP_UNEXPECTED_PAGE, HTTP_UNEXPECTED_REDIRECT
from linewatch_agent.checks.http import Fetcher
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.wishes import Wishes, window_for
from linewatch_core.details import HttpDetail, PortalAnswer, PortalDetail
from linewatch_core.targets import GATEWAY_HOST, Expected

BYTES_MAX = 4_096
"""Of a page in the answer's place: enough to know it by; the known answers are shorter."""
_FAILURES = {
    PortalAnswer.FINE: None,
    PortalAnswer.REDIRECTED: HTTP_UNEXPECTED_REDIRECT,
    PortalAnswer.REWRITTEN: HTTP_UNEXPECTED_PAGE,
}


async def check_portal(
    fetcher: Fetcher, url: URL, family: int, *, host: str, expected: Expected, timeout_s: float
) -> Outcome:
    """Fetch `url` and hold its answer against the known one.

    No answer at all is the failure of the fetch, with what an http check would tell.
    """
    body = bytearray()
    limit = max(BYTES_MAX, 2 * len(expected.body.encode()))
    wishes = Wishes(body_bytes_max=limit, window_bytes=window_for(limit), on_part=body.extend)
    outcome = await fetcher.fetch(url, family, host=host, timeout_s=timeout_s, wishes=wishes)
    if outcome.failure is not None:
        return outcome
    seen = outcome.detail
    if not isinstance(seen, HttpDetail):
        own = PortalDetail(PortalAnswer.REWRITTEN, 0, 0, "", GATEWAY_HOST)
        return replace(outcome, failure=HTTP_UNEXPECTED_PAGE, detail=own)
    answer = compare(expected, seen, bytes(body))
    detail = PortalDetail(answer, seen.status, seen.body_bytes, seen.body_sha256, seen.location)
    return replace(outcome, failure=_FAILURES[answer], detail=detail)


def compare(expected: Expected, seen: HttpDetail, body: bytes) -> PortalAnswer:
    """Return how an answer differs from the known one; outer space of the body is free."""
    if seen.status == expected.status and body.strip() == expected.body.strip().encode():
        return PortalAnswer.FINE
    if 300 <= seen.status < 400 and seen.location is not None:
        return PortalAnswer.REDIRECTED
    return PortalAnswer.REWRITTEN
