"""Closes what the tests of the store leave open: an open database is a warning, so an error."""

from collections.abc import Iterator

import pytest

from tests.support.probe import close_all


@pytest.fixture(autouse=True)
def closed_stores() -> Iterator[None]:
    """Close every store that the test opened."""
    yield
    close_all()
