"""Step tables: which network is home, through what a modem says one look after the other."""

import pytest

from linewatch_agent.modems.home import Home, home_of
from linewatch_agent.modems.values import ModemValues

HOME, ROAMING, SEARCHING = 1, 5, 2


def said(registration: int | None, operator: str | None, sim: str | None = "/SIM/0") -> ModemValues:
    """Return what a modem said."""
    return ModemValues(state=8, sim=sim, registration=registration, operator=operator)


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([said(HOME, "00101")], "00101", id="learned at home"),
        pytest.param([said(ROAMING, "00201")], None, id="roaming is no home"),
        pytest.param([said(HOME, "00101"), said(ROAMING, "00201")], "00101", id="then roaming"),
        pytest.param([said(ROAMING, "00201"), said(HOME, "00101")], "00101", id="roaming first"),
        pytest.param([said(HOME, "00101"), said(SEARCHING, "")], "00101", id="then searching"),
        pytest.param([said(HOME, "00101"), said(None, None, None)], "00101", id="then silent"),
        pytest.param([said(HOME, "00101"), said(HOME, "00103")], "00101", id="equivalent home"),
        pytest.param(
            [said(HOME, "00101"), said(HOME, "00105", "/SIM/1")], "00105", id="another SIM"
        ),
        pytest.param(
            [said(HOME, "00101"), said(ROAMING, "00105", "/SIM/1")], "00101", id="SIM unsettled"
        ),
        pytest.param(
            [said(HOME, "00101"), said(None, None, "/"), said(HOME, "00101", "/SIM/1")],
            "00101",
            id="same SIM put in again",
        ),
    ],
)
def test_home(looks: list[ModemValues], expected: str | None) -> None:
    """What a line's operator is after these looks."""
    home: Home | None = None
    for values in looks:
        home = home_of(home, values)
    assert (home.operator if home else None) == expected
