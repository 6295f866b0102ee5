"""The bytes that the later checks state are those that the kernel carried."""

from collections.abc import Iterator

import pytest

from linewatch_core.records import Check
from tests.support.netns import namespaces

SCENE = "tests.agent.checks.byte_scenes:count_all"
ELSEWHERE = (Check.ICMP, Check.TCP, Check.DNS, Check.HTTP, Check.MODEM)
CHECKS = [check for check in Check if check not in ELSEWHERE]
OFF_MAX = 0.05
ODD_BYTES = 60
"""Of what was carried: options of single segments, and segments that a reset leaves out."""


@pytest.fixture(scope="module")
def counted() -> Iterator[dict[str, list[int]]]:
    """Yield stated and carried bytes by check, counted where nothing else runs."""
    with namespaces("bytes") as (netns,):
        yield netns.call(SCENE)


@pytest.mark.parametrize("check", CHECKS)
def test_what_a_check_states_is_what_the_kernel_carried(
    counted: dict[str, list[int]], check: Check
) -> None:
    """A ledger that adds up outcomes must agree with the operator's meter."""
    stated, carried = counted[check.value]
    assert carried > 0
    assert stated > 0
    assert abs(stated - carried) <= OFF_MAX * carried + ODD_BYTES
