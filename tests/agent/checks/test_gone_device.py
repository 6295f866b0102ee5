"""A check on a line whose device is gone never leaves by another line."""

import pytest

from linewatch_agent.plan.target_rules import CHECKS
from linewatch_core.details import ContrastDetail
from linewatch_core.records import Check
from tests.agent.checks.lab import TIMEOUT_S, line_checks, loopback
from tests.agent.checks.servers import dns_server, silent
from tests.agent.checks.test_limits import target

GONE = "lw-none0"


@pytest.mark.parametrize("check", CHECKS)
async def test_no_check_runs_on_a_device_that_is_gone(check: Check) -> None:
    """Every socket is bound before it sends: without the device there is `no_device`."""
    async with dns_server(silent) as (port, queries):
        line = loopback()
        gone = type(line)(line.id, line.kind, GONE, line.families, {}, line.resolvers)
        async with line_checks(gone, dns_port=port) as checks:
            outcome = await checks.run(check, target(check, port), 4, timeout_s=TIMEOUT_S)
    assert outcome.failure == "no_device"
    assert queries == []
    if isinstance(outcome.detail, ContrastDetail):
        detail = outcome.detail
        ways = (detail.own, detail.plain, detail.tls, detail.https)
        assert [way.failure for way in ways] == ["no_device"] * 4
