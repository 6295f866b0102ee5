"""The modems of the country's mobile lines, as ModemManager shows them on a private D-Bus.

The parent's side: a child (modems_bus.py) runs the bus and serves the objects. Who sets
DBUS_SYSTEM_BUS_ADDRESS to `address` sees them, from any network namespace; whoever
needs their real look may run `mmcli -m 0 -J` so. Needs dbus-daemon.
"""

from pathlib import Path
from typing import Any

import msgspec

from linewatch_core.records import LineKind
from tests.lab.modems_objects import ModemFacts
from tests.lab.plan import CountryPlan, LinePlan
from tests.lab.worker import Worker


def network_code(plan: CountryPlan, line: LinePlan) -> str:
    """Return the code of an operator's network: of country 001, which is for tests."""
    return f"001{plan.operator.index(plan.operator_of(line)) + 1:02}"


class Modems:
    """Running modems, one for each mobile line of a country."""

    def __init__(self, worker: Worker, address: str) -> None:
        """Wrap a child that is ready; use `start`."""
        self._worker = worker
        self.address = address

    @classmethod
    def start(cls, folder: Path, plan: CountryPlan) -> "Modems":
        """Start the bus (its socket lies in `folder`) and the modems, all well.

        Raises:
            RuntimeError: it can't be; the text says why.
        """
        lines = plan.lines_of(kind=LineKind.MOBILE)
        modems = cls.of_devices(folder, {line.id: line.device for line in lines})
        for line in lines:
            modems.set(line.id, home=network_code(plan, line))
        return modems

    @classmethod
    def of_devices(cls, folder: Path, devices: dict[str, str]) -> "Modems":
        """Start one modem for each line id, which has that network device."""
        worker = Worker("tests.lab.modems_bus", str(folder.resolve()))
        try:
            worker.await_ready()
            address: str = worker.ask({"do": "address"})
            modems = cls(worker, address)
            for line, device in devices.items():
                worker.ask({"do": "plug", "line": line, "device": device})
        except BaseException:
            worker.stop()
            raise
        return modems

    def set(self, line: str, **facts: Any) -> None:
        """Change what a line's modem says, as `ModemFacts` names it; the rest stays.

        Such as `bearer=Bearer.REFUSED`, `registration=Registration.SEARCHING` or `DENIED`,
        `sim=Sim.MISSING`, `present=False`, `hung=True`, `signal_dbm=-110`.

        Raises:
            RuntimeError: there is no such line or fact.
        """
        changes = msgspec.to_builtins(facts)
        self._worker.ask({"do": "set", "line": line, "facts": changes})

    def ok(self, line: str) -> None:
        """Make a line's modem well again; one that was gone comes back as a new object."""
        well = msgspec.to_builtins(ModemFacts())
        del well["home"]  # whose SIM it is stays
        self.set(line, **well)

    def service(self, state: str) -> None:
        """Make ModemManager itself `up`, `hung` (it answers nothing), `away` (not running).

        `crash`: its connection ends, with all that was asked, and it starts anew.
        """
        self._worker.ask({"do": "service", "state": state})

    def asked(self) -> list[list[str]]:
        """Return every call that ModemManager got since the last `asked`.

        Each is [path, interface, member, argument, ...].
        """
        answer: list[list[str]] = self._worker.ask({"do": "asked"})
        return answer

    def stop(self) -> None:
        """End the modems and the bus."""
        self._worker.stop()

    def __enter__(self) -> "Modems":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
