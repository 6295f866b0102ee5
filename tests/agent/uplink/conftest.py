"""What tests of the uplink share."""

import random

import pytest


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make every random wait 20 ms; return the ceilings that were asked for."""
    ceilings: list[float] = []

    def uniform(_: float, ceiling: float) -> float:
        ceilings.append(ceiling)
        return 0.02

    monkeypatch.setattr(random, "uniform", uniform)
    return ceilings
