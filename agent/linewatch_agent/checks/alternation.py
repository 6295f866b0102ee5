"""The sni and host checks: one address asked in turn for a neutral and a sensitive name.

Same address, same port, same moments: what differs is the name in the
ClientHello (https) or in the Host header (http). A certificate refused as another
name's is as good as an answer: the ClientHello passed. Nothing is ever requested
over it. Source: docs/verdicts.md, `sni_blocked`, `http_blocked`, `throttled.target`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from yarl import URL

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.failures import EOF, GENERIC_TIMEOUT
from linewatch_agent.checks.http import Fetcher
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.wishes import Wishes, window_for
from linewatch_core.details import AlternationDetail, Attempt, HttpDetail
from linewatch_core.median import median
from linewatch_core.records import quantise_us

BYTES_MAX = 4_096
_TCP_DONE = 2
_TLS_DONE = 3
_ALL_DONE = 5
"""How many phases an outcome has once TCP, TLS and the body are done."""

_ENDS = {
    None: Attempt.FINE,
    "connection_reset": Attempt.RESET,
    GENERIC_TIMEOUT: Attempt.DROPPED,
    EOF: Attempt.CLOSED,
    "ssl_failed_handshake": Attempt.ALERT,
    "ssl_invalid_hostname": Attempt.FINE,
    "ssl_unknown_authority": Attempt.FINE,
    "ssl_invalid_certificate": Attempt.FINE,
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """One fetch of the alternation: how it ended, and after how long from TCP established."""

    attempt: Attempt
    outcome: Outcome
    since_tcp_us: float

    @property
    def page(self) -> HttpDetail | None:
        """What the answer said, if one came."""
        seen = self.outcome.detail
        return seen if isinstance(seen, HttpDetail) and seen.status else None

    @property
    def hello_us(self) -> float | None:
        """The time of the handshake, or up to a certificate of another name; None: neither."""
        phases = self.outcome.timings_us
        if len(phases) >= _TLS_DONE:
            return phases[_TLS_DONE - 1] or None
        return self.since_tcp_us if self.attempt is Attempt.FINE else None

    @property
    def page_us(self) -> float | None:
        """The time of handshake, answer and body; None unless all came."""
        phases = self.outcome.timings_us
        return sum(phases[_TCP_DONE:]) if len(phases) == _ALL_DONE else None


async def check_alternation(
    fetcher: Fetcher,
    address: str,
    family: int,
    *,
    neutral: URL,
    sensitive: URL,
    pairs: int,
    bytes_max: int | None,
    timeout_s: float,
    clock: Clock,
) -> Outcome:
    """Ask `address` for `neutral` and `sensitive` in turn, `pairs` times; return the outcome.

    The failure is that of the first sensitive fetch that did not end well. Each
    fetch has `timeout_s`; where neither of the first pair gets a connection there
    is nothing to compare, and the rest is left out.
    """
    limit = bytes_max or BYTES_MAX
    wishes = Wishes(body_bytes_max=limit, window_bytes=window_for(limit))
    fetched: dict[URL, list[Fetched]] = {neutral: [], sensitive: []}
    for turn in range(pairs):
        for url, done in fetched.items():
            started_ns = clock.monotonic_ns()
            outcome = await fetcher.fetch(
                url, family, host=address, timeout_s=timeout_s, wishes=wishes
            )
            elapsed_us = (clock.monotonic_ns() - started_ns) / 1000
            since_tcp_us = max(0.0, elapsed_us - sum(outcome.timings_us[:_TCP_DONE]))
            done.append(Fetched(attempt_of(outcome, url), outcome, since_tcp_us))
        if turn == 0 and all(done[0].attempt is Attempt.UNREACHED for done in fetched.values()):
            break
    return _outcome(fetched[neutral], fetched[sensitive], address, family)


def attempt_of(outcome: Outcome, url: URL) -> Attempt:
    """Return how a fetch of `url` ended."""
    if len(outcome.timings_us) < _TCP_DONE:
        return Attempt.UNREACHED
    attempt = _ENDS.get(outcome.failure, Attempt.OTHER)
    seen = outcome.detail
    if attempt is Attempt.FINE and isinstance(seen, HttpDetail) and seen.location is not None:
        host = seen.location.partition("/")[0]
        return attempt if same_domain(host, url.raw_host or "") else Attempt.OFF_DOMAIN
    return attempt


def same_domain(one: str, other: str) -> bool:
    """Return whether two names are of one site, as `example.org` and `www.example.org` are."""
    bare = [name.lower().rstrip(".").removeprefix("www.") for name in (one, other)]
    return bare[0] == bare[1] or any(
        a.endswith(f".{b}") for a, b in (bare, reversed(bare)) if "." in b
    )


def _outcome(
    neutral: Sequence[Fetched], sensitive: Sequence[Fetched], address: str, family: int
) -> Outcome:
    both = [*neutral, *sensitive]
    return Outcome(
        failure=next(
            (f.outcome.failure for f in sensitive if f.attempt is not Attempt.FINE),
            None,
        ),
        family=family,
        address=address,
        detail=AlternationDetail(
            neutral="".join(f.attempt for f in neutral),
            sensitive="".join(f.attempt for f in sensitive),
            neutral_hello_us=_median([f.hello_us for f in neutral]),
            sensitive_hello_us=_median([f.hello_us for f in sensitive]),
            neutral_page_us=_median([f.page_us for f in neutral]),
            sensitive_page_us=_median([f.page_us for f in sensitive]),
            neutral_page=_last_page(neutral),
            sensitive_page=_last_page(sensitive),
        ),
        bytes_out=sum(f.outcome.bytes_out for f in both),
        bytes_in=sum(f.outcome.bytes_in for f in both),
    )


def _median(times_us: Sequence[float | None]) -> int | None:
    known = [time_us for time_us in times_us if time_us is not None]
    return quantise_us(median(known)) if known else None


def _last_page(fetched: Sequence[Fetched]) -> HttpDetail | None:
    return next((f.page for f in reversed(fetched) if f.page is not None), None)
