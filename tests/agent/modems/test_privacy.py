"""What the agent never asks a modem, by the list of all calls that the service got."""

import subprocess
import sys

from linewatch_agent.modems.bus import FIELDS, connected
from linewatch_core.modem_words import Bearer, Registration, Sim
from tests.agent.modems.conftest import ONE, TWO, Rounds
from tests.lab.modems import Modems
from tests.lab.modems_objects import NAME, SECRETS

MODEMS = "/org/freedesktop/ModemManager1/Modem"


def allowed(call: list[str]) -> bool:
    """Return whether a call can bring no identifier."""
    path, interface, member, *arguments = call
    method = f"{interface}.{member}"
    if method == "org.freedesktop.DBus.Properties.Get":
        return (arguments[0], arguments[1]) in FIELDS
    return method == f"{NAME}.Modem.Signal.Setup" or (
        method == "org.freedesktop.DBus.Introspectable.Introspect" and path == MODEMS
    )


async def test_no_identifier_is_ever_asked_for(modems: Modems, rounds: Rounds) -> None:
    """In every state: only the fields listed, one by one, and never the SIM's object."""
    for facts in (
        {},
        {"bearer": Bearer.REFUSED},
        {"registration": Registration.SEARCHING},
        {"sim": Sim.LOCKED},
        {"sim": Sim.MISSING},
        {"present": False},
        {"present": True, "sim": Sim.READY},
        {"hung": True},
    ):
        modems.set(ONE.id, **facts)
        await rounds.round()
    calls = modems.asked()
    assert len(calls) > 100
    assert [call for call in calls if not allowed(call)] == []
    assert [call for call in calls if call[0].startswith(f"/{NAME.replace('.', '/')}/SIM")] == []
    assert not {name for _, name in FIELDS} & SECRETS.keys()


async def test_the_list_would_show_it(modems: Modems) -> None:
    """Whoever asks for a whole interface, or for the objects at once, is seen."""
    async with connected() as bus:
        await bus._call(f"{MODEMS}/0", "org.freedesktop.DBus.Properties.GetAll", "s", [NAME])
        root = "/org/freedesktop/ModemManager1"
        whole = "org.freedesktop.DBus.ObjectManager.GetManagedObjects"
        answer = await bus._call(root, whole)
    assert SECRETS["Imei"] in str(answer)
    assert [allowed(call) for call in modems.asked()] == [False, False]


async def test_the_signal_is_set_up_once_for_each_modem(modems: Modems, rounds: Rounds) -> None:
    """It is the only call that changes anything."""
    for _ in range(3):
        await rounds.round()
    changing = [call for call in modems.asked() if call[2] == "Setup"]
    assert sorted(call[0] for call in changing) == [f"{MODEMS}/0", f"{MODEMS}/1"]
    assert {call[3] for call in changing} == {"30"}


async def test_where_the_signal_is_forbidden_its_quality_is_converted(
    modems: Modems, rounds: Rounds
) -> None:
    """Asked once; then SignalQuality, to the nearest percent; the other line keeps its own."""
    modems.set(ONE.id, signal_refused=True, signal_dbm=-89)
    for _ in range(3):
        seen = await rounds.round()
    details = {line: one.detail.signal_dbm for line, one in seen.items() if one.detail}  # type: ignore[union-attr]
    assert details == {ONE.id: -89, TWO.id: -95}
    setups = [call[0] for call in modems.asked() if call[2] == "Setup"]
    assert sorted(setups) == [f"{MODEMS}/0", f"{MODEMS}/1"]


def test_dbus_fast_is_imported_only_when_a_bus_is_asked() -> None:
    """A probe without a modem does not pay for it."""
    code = "import sys, linewatch_agent.modems.watch; print('dbus_fast' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
