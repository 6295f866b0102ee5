"""The agent's watch against ModemManager's objects on a real, private D-Bus."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from linewatch_core.modem_words import Bearer, ModemDetail, PacketService, Registration, Sim
from linewatch_core.records import Check, Sample
from tests.agent.modems.conftest import FIXED, ONE, TWO, Rounds
from tests.lab.modems import Modems

WELL = ModemDetail(
    sim=Sim.READY,
    registration=Registration.HOME,
    bearer=Bearer.UP,
    signal_dbm=-95,
    operator="00101",
    technology="lte",
    packet_service=PacketService.ATTACHED,
)


async def test_every_mobile_line_has_one_sample_a_round(modems: Modems, rounds: Rounds) -> None:
    """It stands in the round's own slot; a fixed line has none."""
    await rounds.round()
    seen = await rounds.round()
    assert len(rounds.samples) == 2
    assert seen.keys() == {ONE.id, TWO.id}
    expected = Sample(
        mono_ms=seen[ONE.id].mono_ms,
        slot_ms=rounds.round_ms,
        round_ms=rounds.round_ms,
        line=ONE.id,
        target="modem",
        check=Check.MODEM,
        family=0,
        detail=WELL,
    )
    assert seen[ONE.id] == expected
    assert [seen[line].busy for line in (ONE.id, TWO.id)] == [False, True]


NOT_READY: dict[str, Any] = dict.fromkeys(
    ("registration", "signal_dbm", "operator", "technology", "packet_service")
)
AWAY: dict[str, Any] = {
    "operator": None,
    "technology": None,
    "packet_service": PacketService.DETACHED,
}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"bearer": Bearer.REFUSED}, {"bearer": Bearer.REFUSED}),
        ({"bearer": Bearer.DOWN}, {"bearer": Bearer.DOWN}),
        (
            {"bearer": Bearer.REFUSED, "error": "Core.Timeout"},
            {"bearer": Bearer.DOWN},
        ),
        (
            {"registration": Registration.SEARCHING, "bearer": Bearer.DOWN},
            {"registration": Registration.SEARCHING, "bearer": Bearer.DOWN} | AWAY,
        ),
        (
            {"registration": Registration.DENIED, "bearer": Bearer.DOWN},
            {"registration": Registration.DENIED, "bearer": Bearer.DOWN} | AWAY,
        ),
        (
            {"registration": Registration.ROAMING, "operator": "00299"},
            {"registration": Registration.ROAMING, "operator": "00299"},
        ),
        ({"sim": Sim.MISSING}, {"sim": Sim.MISSING, "bearer": Bearer.DOWN} | NOT_READY),
        ({"sim": Sim.LOCKED}, {"sim": Sim.LOCKED, "bearer": Bearer.DOWN} | NOT_READY),
        ({"detached": True}, {"packet_service": PacketService.DETACHED}),
        ({"signal_dbm": -118}, {"signal_dbm": -118}),
        ({"technology": "5g", "signal_dbm": -101}, {"technology": "5g", "signal_dbm": -101}),
        ({"technology": "gsm", "signal_dbm": -71}, {"technology": "gsm", "signal_dbm": -71}),
    ],
)
async def test_each_state_is_told_and_ends(
    modems: Modems, rounds: Rounds, facts: dict[str, Any], expected: dict[str, Any]
) -> None:
    """What one modem says is that line's alone, and is over when it is over."""
    await rounds.round()
    modems.set(ONE.id, **facts)
    seen = await rounds.round()
    wanted = {name: getattr(WELL, name) for name in WELL.__struct_fields__} | expected
    assert seen[ONE.id].detail == ModemDetail(**wanted)
    assert seen[TWO.id].detail == WELL
    modems.ok(ONE.id)
    assert (await rounds.round())[ONE.id].detail == WELL


async def test_a_hung_modem_costs_the_other_nothing(modems: Modems, rounds: Rounds) -> None:
    """Its sample is a time-out; the next round after it woke up is whole."""
    await rounds.round()
    modems.set(ONE.id, hung=True)
    seen = await rounds.round()
    assert (seen[ONE.id].failure, seen[ONE.id].detail) == ("generic_timeout_error", None)
    assert seen[TWO.id].detail == WELL
    modems.ok(ONE.id)
    assert (await rounds.round())[ONE.id].detail == WELL


async def test_a_hung_modem_manager_is_a_time_out_of_every_line(
    modems: Modems, rounds: Rounds
) -> None:
    """Rounds that begin meanwhile have their own samples, and it is logged once."""
    await rounds.round()
    modems.service("hung")
    rounds.samples.clear()
    with capture_logs() as logs:
        for round_ms in (100_000, 105_000, 110_000):
            rounds.watch.begin_round(round_ms, (FIXED, ONE, TWO))
        await rounds.ended()
    told = {(one.round_ms, one.line, one.failure, one.detail) for one in rounds.samples}
    assert told == {
        (round_ms, line, "generic_timeout_error", None)
        for round_ms in (100_000, 105_000, 110_000)
        for line in (ONE.id, TWO.id)
    }
    assert [log["event"] for log in logs] == ["modems_not_read"]
    modems.service("up")
    assert (await rounds.round())[TWO.id].detail == WELL


async def test_a_modem_unplugged_is_gone_until_it_is_back(modems: Modems, rounds: Rounds) -> None:
    """Also when the line left with its device; put in again it is another object."""
    await rounds.round()
    modems.set(ONE.id, present=False)
    for _ in range(2):
        seen = await rounds.round(FIXED, TWO)
        assert seen[ONE.id].detail == ModemDetail(present=False)
        assert seen[ONE.id].failure is None
        assert seen[TWO.id].detail == WELL
    modems.set(ONE.id, present=True)
    await rounds.round()
    assert (await rounds.round())[ONE.id].detail == WELL
    assert "/org/freedesktop/ModemManager1/Modem/2" in {call[0] for call in modems.asked()}


async def test_without_modem_manager_nothing_is_said(modems: Modems, rounds: Rounds) -> None:
    """A service that ended takes no modem with it; said once, and once when it is back."""
    await rounds.round()
    modems.service("away")
    with capture_logs() as logs:
        assert await rounds.round() == {}
        assert await rounds.round() == {}
        modems.service("up")
        seen = await rounds.round()
    assert seen.keys() == {ONE.id, TWO.id}
    assert [(log["event"], log.get("reason")) for log in logs] == [
        ("modems_not_read", "ModemManager does not run"),
        ("modems_read", None),
    ]


async def test_a_line_without_a_modem_of_its_own_has_no_sample(
    modems: Modems, rounds: Rounds
) -> None:
    """A HiLink stick is a mobile line that ModemManager does not know."""
    modems.set(TWO.id, present=False)
    seen = await rounds.round()
    assert seen.keys() == {ONE.id}


async def test_a_machine_without_a_bus_says_so_once(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked, and nothing waits."""
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS", raising=False)
    monkeypatch.setattr("linewatch_agent.system_bus._SYSTEM_BUS", "/nonexistent/bus")
    with capture_logs() as logs:
        assert await rounds.round() == {}
        assert await rounds.round() == {}
    assert [log["reason"] for log in logs] == ["this machine has no system bus"]


async def test_a_bus_that_takes_no_connection_is_no_modem_gone(
    modems: Modems, rounds: Rounds
) -> None:
    """The bus itself ends: no facts, and the watch lives on."""
    await rounds.round()
    modems.stop()
    with capture_logs() as logs:
        assert await rounds.round() == {}
        assert await rounds.round() == {}
    reasons = {log["reason"].partition(":")[0] for log in logs}
    assert reasons == {"the system bus takes no connection"}


async def test_a_bus_that_ends_while_it_is_asked_is_no_modem_gone(
    modems: Modems, rounds: Rounds
) -> None:
    """What was asked stays open; the connection's end answers it."""
    await rounds.round()
    modems.service("hung")
    modems.asked()
    rounds.samples.clear()
    with capture_logs() as logs:
        rounds.watch.begin_round(100_000, (ONE, TWO))
        while not modems.asked():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        modems.stop()
        await rounds.ended()
    assert rounds.samples == []
    assert len(logs) == 1
    # Whichever of the two ends first.
    assert logs[0]["reason"] in (
        "ModemManager ended while it was asked",
        "the system bus closed the connection",
    )


async def test_a_modem_manager_that_ends_while_it_is_asked_takes_no_modem_with_it(
    modems: Modems, rounds: Rounds
) -> None:
    """The bus answers for it at once, with an error that is no word on any modem."""
    await rounds.round()
    modems.service("hung")
    modems.asked()
    rounds.samples.clear()
    with capture_logs() as logs:
        rounds.watch.begin_round(100_000, (ONE, TWO))
        while not modems.asked():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        modems.service("crash")
        await rounds.ended()
        assert rounds.samples == []
        seen = await rounds.round()
    assert [log.get("reason") for log in logs] == ["ModemManager ended while it was asked", None]
    assert seen[ONE.id].detail == WELL


async def test_the_home_network_names_the_operator(modems: Modems, rounds: Rounds) -> None:
    """Neither roaming, nor an equivalent network, nor a modem away and back changes it."""
    modems.set(TWO.id, home="00102")
    assert rounds.watch.operator(ONE.id) is None
    await rounds.round()
    for facts in (
        {"registration": Registration.ROAMING, "operator": "00299"},
        {"registration": Registration.HOME, "operator": "00109"},
        {"present": False},
        {"hung": True},
        {"sim": Sim.MISSING},
    ):
        modems.set(TWO.id, **facts)
        await rounds.round()
        assert rounds.watch.operator(TWO.id) == "00102"
        modems.ok(TWO.id)
    assert rounds.watch.operator(ONE.id) == "00101"
    assert rounds.watch.operator(FIXED.id) is None


async def test_another_sim_may_be_another_operators(modems: Modems, rounds: Rounds) -> None:
    """A SIM put in anew that is at home elsewhere belongs there."""
    await rounds.round()
    modems.set(ONE.id, present=False)
    modems.set(ONE.id, present=True, home="00105")
    await rounds.round()
    assert rounds.watch.operator(ONE.id) == "00105"
