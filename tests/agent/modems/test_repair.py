"""The ladder's driver: what looks at a real, private D-Bus lead to, and what is recorded."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from linewatch_agent import clock
from linewatch_agent.modems.bus import FIELDS
from linewatch_agent.modems.repair import Hands, ModemRepair
from linewatch_agent.modems.steps import Patient, take
from linewatch_agent.modems.watch import ModemWatch
from linewatch_agent.plan.line import Line, Problem
from linewatch_agent.plan.modem_ladder import LadderSettings
from linewatch_core.errors import LinewatchError
from linewatch_core.modem_words import Bearer, ModemStep, ModemTrouble, Registration, Sim
from linewatch_core.records import LineKind, ModemReset
from tests.agent.modems.conftest import HANGS_S, LINES, ONE, TWO
from tests.lab.modems import Modems
from tests.lab.modems_objects import NAME

ROOT = "/org/freedesktop/ModemManager1"
USB = {ONE.device: "1-1.2", TWO.device: "1-1.3"}
ALLOWED = LadderSettings(reboot=True)
STICK = Line("mobile-3", LineKind.MOBILE, "usb0", families=(4,))
"""A HiLink stick: ModemManager knows nothing of it."""


@dataclass
class World:
    """A probe with modems, on a clock that the test moves, that writes down what is done."""

    watch: ModemWatch
    repair: ModemRepair
    now_s: list[float]
    steps: list[tuple[ModemStep, Patient]]
    told: list[ModemReset]
    kept: list[bytes] = field(default_factory=list)
    keeps: bool = True
    lines: tuple[Line, ...] = (*LINES, STICK)
    _round_ms: int = 0

    def hurry(self) -> None:
        """Wait for nobody any longer: for many rounds with a modem that hangs."""
        self.watch._limit_s = 0.5

    async def rounds(self, count: int) -> list[ModemStep]:
        """Run so many rounds of 30 s; return the steps taken meanwhile."""
        before = len(self.steps)
        for _ in range(count):
            self._round_ms += 30_000
            self.watch.begin_round(self._round_ms, self.lines)
            while self.watch._running:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            for _ in range(3):
                await asyncio.sleep(0)  # what is due is taken by the repair's own task
            while self.repair._busy:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            self.now_s[0] += 30.0
        return [step for step, _ in self.steps[before:]]


@asynccontextmanager
async def world_of(
    monkeypatch: pytest.MonkeyPatch,
    *,
    settings: LadderSettings | None = ALLOWED,
    kept: bytes | None = None,
    plugged: Callable[[str], bool] = lambda _: True,
    real_steps: bool = False,
    done: bool = True,
) -> AsyncIterator[World]:
    """Run a watch and a repair."""
    now_s, steps, told = [1000.0], list[tuple[ModemStep, Patient]](), list[ModemReset]()
    monkeypatch.setattr(clock, "mono_s", lambda: now_s[0])
    monkeypatch.setattr(clock, "mono_ms", lambda: int(now_s[0] * 1000))

    async def carry_out(step: ModemStep, patient: Patient) -> bool:
        steps.append((step, patient))
        return await take(step, patient) if real_steps else done

    async def keep(value: bytes) -> None:
        if not world.keeps:
            raise LinewatchError("the disk is full")
        world.kept.append(value)

    repair = ModemRepair(
        settings=settings,
        on_reset=told.append,
        keep=keep,
        kept=kept,
        hands=Hands(carry_out, USB.get, plugged, lambda: True),
    )
    watch = ModemWatch(
        on_sample=lambda _: None,
        is_busy=lambda _: False,
        timeout_s=HANGS_S,
        on_look=lambda devices, said: repair.looked(devices, said, world.lines, now_s=now_s[0]),
    )
    world = World(watch, repair, now_s, steps, told)
    tasks = [asyncio.create_task(watch.run()), asyncio.create_task(repair.run())]
    yield world
    for task in tasks:
        assert not task.done()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_modems_that_are_well_are_left_alone(
    modems: Modems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a stick touched that ModemManager does not know; nothing but Setup changes any."""
    async with world_of(monkeypatch) as world:
        assert await world.rounds(60) == []
        assert world.repair.described(ONE.id) is None
    changing = {call[2] for call in modems.asked()} - {"Get", "Introspect"}
    assert changing == {"Setup"}


@pytest.mark.parametrize(
    "facts",
    [
        {"bearer": Bearer.REFUSED},
        {"bearer": Bearer.DOWN, "detached": True},
        {"bearer": Bearer.DOWN, "registration": Registration.SEARCHING},
        {"bearer": Bearer.DOWN, "registration": Registration.DENIED},
        {"bearer": Bearer.DOWN, "registration": Registration.ROAMING, "operator": "00299"},
        {"sim": Sim.LOCKED},
        {"sim": Sim.LOCKED, "lock": 4},
        {"sim": Sim.MISSING},
    ],
)
async def test_what_the_network_or_the_sim_says_is_no_trouble(
    modems: Modems, monkeypatch: pytest.MonkeyPatch, facts: dict[str, object]
) -> None:
    """For half an hour, after it was well: in a shutdown the modem is fine."""
    async with world_of(monkeypatch) as world:
        await world.rounds(1)
        modems.set(ONE.id, **facts)
        assert await world.rounds(60) == []


async def test_a_session_that_failed_is_made_anew(
    modems: Modems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the radio, then its own reset; over ModemManager, the right modem, and recorded."""
    async with world_of(monkeypatch, real_steps=True) as world:
        await world.rounds(1)
        modems.set(TWO.id, bearer=Bearer.REFUSED, error="Core.Timeout")
        modems.asked()
        steps = await world.rounds(45)
        reset = world.repair.described(TWO.id)
    assert steps == [ModemStep.RECONNECT, ModemStep.RADIO, ModemStep.RESET]
    assert [patient.device for _, patient in world.steps] == [TWO.device] * 3
    asked = modems.asked()
    assert {tuple(call[3:5]) for call in asked if call[2] == "Get"} <= FIELDS
    changing = [call for call in asked if call[2] not in ("Get", "Introspect", "Setup")]
    modem, bearer = f"{ROOT}/Modem/1", f"{ROOT}/Bearer/1"
    assert changing == [
        [modem, f"{NAME}.Modem.Simple", "Disconnect", "/"],
        [bearer, f"{NAME}.Bearer", "Connect"],
        [modem, f"{NAME}.Modem", "Enable", "False"],
        [modem, f"{NAME}.Modem", "Enable", "True"],
        [modem, f"{NAME}.Modem", "Reset"],
    ]
    assert [(one.line, one.step, one.trouble, one.done) for one in world.told] == [
        (TWO.id, step, ModemTrouble.SESSION, True) for step in steps
    ]
    assert reset is not None
    assert reset["words"] == "since its data session had failed, it was reset"


async def test_a_modem_that_vanished_is_sought_on_usb(
    modems: Modems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it hung when it was last seen; with power only where no other line would lose it."""
    async with world_of(monkeypatch) as world:
        await world.rounds(1)
        modems.set(ONE.id, present=False)
        assert set(await world.rounds(40)) == {ModemStep.USB, ModemStep.REBOOT}
        assert world.steps[0] == (ModemStep.USB, Patient(ONE.device, "1-1.2"))
        dead = Line(TWO.id, TWO.kind, TWO.device, problems=(Problem("no_carrier", ""),))
        world.lines = (ONE, dead)
        assert ModemStep.POWER in await world.rounds(240)


async def test_a_modem_that_somebody_pulled_out_is_not_sought(
    modems: Modems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No USB device, and another line on the hub: nothing, and no reboot."""
    async with world_of(monkeypatch, plugged=lambda _: False) as world:
        await world.rounds(1)
        modems.set(ONE.id, present=False)
        assert await world.rounds(240) == []


async def test_a_modem_that_modem_manager_lost_over_its_restart_is_gone(
    modems: Modems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there in this run of the agent; while ModemManager is away nobody is."""
    async with world_of(monkeypatch) as world:
        await world.rounds(1)
        modems.service("away")
        assert await world.rounds(60) == []
        modems.set(ONE.id, present=False)
        modems.service("crash")
        modems.service("up")
        assert (await world.rounds(20))[0] is ModemStep.USB
    assert {one.line for one in world.told} == {ONE.id}


async def test_a_modem_that_does_not_answer_is_reset(
    modems: Modems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that it does not take either is recorded as not done."""
    async with world_of(monkeypatch, done=False) as world:
        await world.rounds(1)
        modems.set(ONE.id, hung=True)
        world.hurry()
        assert await world.rounds(8) == [ModemStep.RESET]
    (told,) = world.told
    assert (told.step, told.trouble, told.done) == (ModemStep.RESET, ModemTrouble.SILENT, False)


async def test_steps_of_hung_services_end(modems: Modems, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within their limit; on a bus without a helper at once."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", modems.address)
    assert not await take(ModemStep.USB, Patient(ONE.device, "1-1.2"))
    assert not await take(ModemStep.RESET, Patient("wwan9", None))
    modems.service("hung")
    assert not await take(ModemStep.RESET, Patient(ONE.device, None), limit_s=0.2)
    modems.service("away")
    assert not await take(ModemStep.RADIO, Patient(ONE.device, None))
    modems.stop()
    assert not await take(ModemStep.RESET, Patient(ONE.device, None))


async def test_a_reboot_waits_until_it_is_written_down(
    modems: Modems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told before it; if the store can't keep it, it is not done."""
    async with world_of(monkeypatch) as world:
        await world.rounds(1)
        modems.set(ONE.id, present=False)
        world.keeps = False
        await world.rounds(40)
    assert ModemStep.REBOOT not in {step for step, _ in world.steps}
    (reboot,) = (one for one in world.told if one.step is ModemStep.REBOOT)
    assert not reboot.done


async def test_what_an_earlier_run_did_counts(
    modems: Modems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reboot by one line's modem is the day's for all of them; so are the steps of a day."""
    kept = json.dumps([["mobile-9", "reboot", 2], [ONE.id, "usb", 2], [ONE.id, "usb", 25]])
    async with world_of(monkeypatch, kept=kept.encode()) as world:
        await world.rounds(1)
        modems.set(ONE.id, present=False)
        assert await world.rounds(60) == [ModemStep.USB]
        modems.set(TWO.id, bearer=Bearer.REFUSED, error="Core.Timeout")
        await world.rounds(12)
    assert sorted(json.loads(world.kept[-1])) == [
        [ONE.id, "usb", 0],
        [ONE.id, "usb", 2],
        [TWO.id, "reconnect", 0],
        ["mobile-9", "reboot", 2],
    ]


@pytest.mark.parametrize("kept", [b"", b"\xff", b'[["x"]]', b'[["x", "explode", 1]]'])
async def test_what_was_kept_may_be_damaged(
    modems: Modems, monkeypatch: pytest.MonkeyPatch, kept: bytes
) -> None:
    """Then a day's count is lost, and nothing else."""
    async with world_of(monkeypatch, kept=kept) as world:
        assert await world.rounds(1) == []


async def test_it_can_be_turned_off(modems: Modems, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens to a modem then."""
    async with world_of(monkeypatch, settings=None) as world:
        await world.rounds(1)
        modems.set(ONE.id, present=False)
        modems.set(TWO.id, hung=True)
        world.hurry()
        assert await world.rounds(12) == []


async def test_a_modem_that_a_pin_did_not_open_is_not_touched(
    modems: Modems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Come back from a reset it would be given the PIN again; so would it by a reboot."""
    async with world_of(monkeypatch) as world:
        modems.set(ONE.id, sim=Sim.LOCKED)
        await world.rounds(2)
        modems.set(ONE.id, hung=True)
        world.hurry()
        assert await world.rounds(8) == []
        modems.set(ONE.id, present=False)
        modems.set(TWO.id, present=False)
        steps = await world.rounds(60)
    assert set(steps) == {ModemStep.USB}
    assert {one.line for one in world.told} == {TWO.id}
