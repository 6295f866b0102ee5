"""What holds for all tests: Hypothesis fails no example for being slow, and logs go nowhere old."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# A machine that does something else meanwhile is slow, too.
settings.register_profile("linewatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("linewatch")


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Undo what a command that a test ran in here did to the logs of the whole process.

    It has them go to its standard error, which pytest closes at the end of that test.
    """
    yield
    structlog.reset_defaults()
