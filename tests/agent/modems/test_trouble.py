"""What counts as a modem's own trouble, and above all what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.modems.advice import (
    BAD_SIM,
    FAILED,
    NO_PROFILE,
    NO_SIM,
    OTHER_LOCK,
    PIN,
    PUK,
    advice,
)
from linewatch_agent.modems.given import given_by
from linewatch_agent.modems.trouble import session_trouble
from linewatch_agent.modems.values import BearerValues, ModemValues
from linewatch_agent.plan.line import Given
from linewatch_agent.plan.modem_ladder import Ladder, LadderSettings, Looked
from linewatch_core.modem_words import ModemTrouble

MOBILE = "org.freedesktop.ModemManager1.Error.MobileEquipment"
TIMEOUT = "org.freedesktop.ModemManager1.Error.Core.Timeout"
REFUSED = f"{MOBILE}.ServiceOptionNotSubscribed"
UP, DOWN = BearerValues(True), BearerValues(False)
HOME, SEARCHING, DENIED, ROAMING = 1, 2, 3, 5
DETACHED, ATTACHED = 1, 2


def modem(
    *bearers: BearerValues, registration: int = HOME, packet_service: int | None = ATTACHED
) -> ModemValues:
    """Return a modem with a SIM that is ready."""
    return ModemValues(
        state=8,
        sim="/SIM/0",
        unlock_required=1,
        failed_reason=0,
        registration=registration,
        packet_service=packet_service,
        bearers=bearers,
    )


@pytest.mark.parametrize(
    ("values", "was_up", "trouble"),
    [
        pytest.param(modem(UP), True, False, id="well"),
        pytest.param(modem(DOWN), False, False, id="nobody asked for a session yet"),
        pytest.param(modem(), False, False, id="no bearer at all"),
        pytest.param(modem(DOWN), True, True, id="session lost"),
        pytest.param(modem(), True, True, id="session lost, bearer too"),
        pytest.param(modem(BearerValues(False, TIMEOUT)), False, True, id="attempt failed"),
        pytest.param(modem(BearerValues(False, REFUSED)), True, False, id="refused"),
        pytest.param(modem(BearerValues(False, TIMEOUT), UP), True, False, id="another is up"),
        pytest.param(modem(DOWN, packet_service=DETACHED), True, False, id="no packet service"),
        pytest.param(modem(DOWN, packet_service=None), True, True, id="packet service not told"),
        pytest.param(modem(DOWN, registration=SEARCHING), True, False, id="searching"),
        pytest.param(modem(DOWN, registration=DENIED), True, False, id="denied"),
        pytest.param(modem(DOWN, registration=ROAMING), True, False, id="roaming"),
        pytest.param(ModemValues(), True, False, id="nothing told"),
    ],
)
def test_a_session_s_trouble(values: ModemValues, was_up: bool, trouble: bool) -> None:
    """Only where the network would serve it, and something was lost or failed."""
    expected = ModemTrouble.SESSION if trouble else None
    assert session_trouble(values, was_up=was_up) is expected


ERRORS = st.sampled_from(["", TIMEOUT, REFUSED, f"{MOBILE}.NetworkFailure", "com.example.Other"])
BEARERS = st.none() | st.lists(
    st.builds(BearerValues, st.none() | st.booleans(), ERRORS), max_size=3
).map(tuple)
VALUES = st.builds(
    ModemValues,
    state=st.none() | st.integers(-1, 11),
    failed_reason=st.none() | st.integers(0, 6),
    unlock_required=st.none() | st.integers(0, 16),
    sim=st.none() | st.sampled_from(["/", "/SIM/0"]),
    registration=st.none() | st.integers(0, 11),
    packet_service=st.none() | st.integers(0, 2),
    bearers=BEARERS,
)
WITHOUT_TROUBLE = VALUES.filter(
    lambda values: (
        any(each.connected for each in values.bearers or ())
        or any(each.error.startswith(f"{MOBILE}.") for each in values.bearers or ())
        or values.packet_service == DETACHED
        or values.registration not in (1, 6, 9)
        or (values.unlock_required or 1) not in (0, 1, 3, 5)
        or values.failed_reason in (2, 3, 5)
        or values.sim != "/SIM/0"
    )
)


@given(st.lists(st.tuples(WITHOUT_TROUBLE, st.booleans()), min_size=1, max_size=20))
def test_in_a_shutdown_nothing_is_done_to_the_modem(
    looks: list[tuple[ModemValues, bool]],
) -> None:
    """Whatever an answering modem says of network and SIM, for hours, and no PIN is tried."""
    ladder = Ladder(LadderSettings(steps_a_day=24, reboot=True))
    now_s = 0.0
    for values, was_up in looks:
        for _ in range(240):
            look = Looked(session_trouble(values, was_up=was_up))
            assert ladder.handle(look, now_s) == []
            now_s += 30.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (modem(UP), None),
        (ModemValues(state=2, sim="/SIM/0", unlock_required=2), PIN),
        (ModemValues(state=2, sim="/SIM/0", unlock_required=4), PUK),
        (ModemValues(state=2, sim="/SIM/0", unlock_required=8), OTHER_LOCK),
        (ModemValues(state=2, sim="/SIM/0"), PIN),
        (ModemValues(state=8, sim="/SIM/0", unlock_required=3), None),
        (ModemValues(state=-1, sim="/", failed_reason=2), NO_SIM),
        (ModemValues(state=-1, sim="/", failed_reason=3), BAD_SIM),
        (ModemValues(state=-1, sim="/", failed_reason=5), NO_PROFILE),
        (ModemValues(state=6, sim="/"), NO_SIM),
        (ModemValues(state=-1, sim="/SIM/0", failed_reason=1), FAILED),
        (ModemValues(), None),
    ],
)
def test_what_a_person_can_do_is_said(values: ModemValues, expected: str | None) -> None:
    """SIM absent, locked by PIN or PUK, unreadable; or nothing."""
    assert advice(values) == expected


@pytest.mark.parametrize(
    ("ip4", "expected"),
    [
        ({}, Given()),
        ({"dns1": "203.0.113.53", "mtu": 1430}, Given(("203.0.113.53",), 1430)),
        (
            {"dns1": "203.0.113.53", "dns2": "203.0.113.54", "dns3": "0.0.0.0"},
            Given(("203.0.113.53", "203.0.113.54")),
        ),
        ({"dns1": "none", "dns2": 7, "mtu": 0}, Given()),
        ({"mtu": 575}, Given()),
        ({"mtu": "1500"}, Given()),
    ],
)
def test_what_came_with_a_session(ip4: dict[str, object], expected: Given) -> None:
    """Name servers and MTU of the session that is up; nonsense counts for nothing."""
    assert given_by((DOWN, BearerValues(True, ip4=ip4))) == expected
    assert given_by((BearerValues(False, ip4=ip4),)) == Given()
    assert given_by(None) == Given()
