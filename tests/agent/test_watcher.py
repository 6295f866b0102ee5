"""Lines that come, change and go: what is told, what is remembered."""

import json
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import structlog

from linewatch_agent import watcher
from linewatch_agent.lines import LineIds
from linewatch_agent.plan.line import Line, Problem
from linewatch_agent.plan.settings import Config
from linewatch_agent.watcher import GONE, LineWatcher, load_line_ids, save_line_ids
from linewatch_core.records import LineChanged, LineKind

FIXED = Line("fixed-1", LineKind.FIXED, "enx0050b6123456", families=(4, 6))
MODEM = Line("mobile-1", LineKind.MOBILE, "wwan0", families=(4,))
NO_CARRIER = Problem("no_carrier", "enx0050b6123456 has no link: check the cable")


@dataclass
class Machine:
    """What is found at each look, and what was told."""

    watch: LineWatcher
    found: list[Line] = field(default_factory=list)
    changes: list[LineChanged] = field(default_factory=list)
    handed: list[Sequence[Line]] = field(default_factory=list)
    operators: dict[str, str] = field(default_factory=dict)

    async def look(self, *lines: Line) -> list[LineChanged]:
        """Look while these lines are there; return what is news."""
        self.found[:] = lines
        self.changes.clear()
        await self.watch.look()
        return list(self.changes)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose lines the test decides; their devices get ids as real ones do."""

    async def take(lines: Sequence[Line]) -> None:
        made.handed.append(list(lines))

    def find(_: Config, ids: LineIds, __: object) -> list[Line]:
        for line in made.found:
            ids.id_for(line.device, line.kind)
        return list(made.found)

    monkeypatch.setattr(watcher, "find_lines", find)
    changes: list[LineChanged] = []
    operators: dict[str, str] = {}
    made = Machine(
        LineWatcher(
            Config(),
            tmp_path,
            on_lines=take,
            on_change=changes.append,
            operator_of=operators.get,
        ),
        changes=changes,
        operators=operators,
    )
    return made


def facts(changes: Sequence[LineChanged]) -> list[tuple[str, bool, tuple[int, ...], object]]:
    """Return what changes say, without their times."""
    return [(one.line, one.usable, one.families, one.problems) for one in changes]


async def test_each_line_is_told_once(machine: Machine) -> None:
    """As found; the same again is no news."""
    assert facts(await machine.look(FIXED, MODEM)) == [
        ("fixed-1", True, (4, 6), ()),
        ("mobile-1", True, (4,), ()),
    ]
    assert await machine.look(FIXED, MODEM) == []
    assert machine.handed == [[FIXED, MODEM]] * 2


async def test_a_change_is_told_with_its_codes(machine: Machine) -> None:
    """A cable pulled and put back: two records, problems by code only."""
    await machine.look(FIXED)
    pulled = replace(FIXED, families=(), problems=(NO_CARRIER,))
    assert facts(await machine.look(pulled)) == [("fixed-1", False, (), ("no_carrier",))]
    assert facts(await machine.look(FIXED)) == [("fixed-1", True, (4, 6), ())]


async def test_a_device_that_went_is_told_once_and_so_is_its_return(machine: Machine) -> None:
    """A modem pulled out of its socket has no facts of its own any more."""
    await machine.look(FIXED, MODEM)
    [gone] = await machine.look(FIXED)
    assert (gone.line, gone.kind, gone.usable, gone.problems) == (
        "mobile-1",
        LineKind.MOBILE,
        False,
        (GONE,),
    )
    assert await machine.look(FIXED) == []
    assert facts(await machine.look(FIXED, MODEM)) == [("mobile-1", True, (4,), ())]


async def test_what_leads_nowhere_else_is_no_news(machine: Machine) -> None:
    """Another gateway or resolver is handed on, but says nothing that a record may hold."""
    await machine.look(FIXED)
    moved = replace(FIXED, gateways={4: "192.168.1.1"}, resolvers=("192.168.1.1",))
    assert await machine.look(moved) == []
    assert machine.handed[-1] == [moved]


async def test_an_operator_is_told_when_it_is_known_and_stays(machine: Machine) -> None:
    """Learned from the modem; not forgotten with it, nor with the device."""
    [first] = await machine.look(MODEM)
    assert first.operator is None
    machine.operators["mobile-1"] = "00101"
    [learned] = await machine.look(MODEM)
    assert (learned.line, learned.usable, learned.operator) == ("mobile-1", True, "00101")
    machine.operators.clear()
    assert await machine.look(MODEM) == []
    [gone] = await machine.look()
    assert (gone.usable, gone.operator) == (False, "00101")
    machine.operators["mobile-1"] = "00105"
    [back] = await machine.look(MODEM)
    assert (back.usable, back.operator) == (True, "00105")


async def test_the_configuration_s_operator_comes_before_the_modem_s(machine: Machine) -> None:
    """Also of a fixed line, which has no modem; a device that went keeps it."""
    machine.operators["mobile-1"] = "00101"
    named = [replace(FIXED, operator="north"), replace(MODEM, operator="south")]
    assert [one.operator for one in await machine.look(*named)] == ["north", "south"]
    assert [one.operator for one in await machine.look()] == ["north", "south"]


async def test_ids_are_kept_over_a_restart_without_names(machine: Machine, tmp_path: Path) -> None:
    """The file holds hashes, since a device's name can be its MAC address."""
    await machine.look(FIXED, MODEM)
    text = (tmp_path / watcher.LINE_IDS_FILE).read_text()
    assert sorted(json.loads(text).values()) == ["fixed-1", "mobile-1"]
    assert "0050b6123456" not in text
    assert load_line_ids(tmp_path).known == json.loads(text)


async def test_a_card_that_takes_nothing_does_not_stop_the_watch(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines are told all the same, and the ids are written at a later look."""
    full: list[Callable[..., object]] = [save_line_ids]

    def save(*args: object) -> None:
        if full:
            raise OSError(28, "No space left on device")
        save_line_ids(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(watcher, "save_line_ids", save)
    assert len(await machine.look(FIXED)) == 1
    assert load_line_ids(tmp_path).known == {}
    full.clear()
    assert await machine.look(FIXED) == []
    assert list(load_line_ids(tmp_path).known.values()) == ["fixed-1"]


def test_a_power_cut_leaves_the_old_ids_or_the_new(tmp_path: Path) -> None:
    """The file is put in place whole; a draft that was cut short means nothing."""
    save_line_ids(tmp_path, LineIds({"aa": "fixed-1"}))
    (tmp_path / "lines.json.new").write_text('{"aa": "fix')
    assert load_line_ids(tmp_path).known == {"aa": "fixed-1"}
    save_line_ids(tmp_path, LineIds({"aa": "fixed-1", "bb": "fixed-2"}))
    assert load_line_ids(tmp_path).known == {"aa": "fixed-1", "bb": "fixed-2"}
    assert not stat.S_IMODE((tmp_path / "lines.json").stat().st_mode) & 0o111


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"3", b'{"a": 1}'])
def test_damaged_ids_are_no_reason_not_to_start(tmp_path: Path, content: bytes) -> None:
    """Whatever the file holds."""
    (tmp_path / watcher.LINE_IDS_FILE).write_bytes(content)
    assert isinstance(load_line_ids(tmp_path), LineIds)


async def test_the_log_names_no_device_and_no_address(machine: Machine) -> None:
    """A name made of a MAC address must not reach the journal, nor what a problem says of it."""
    with structlog.testing.capture_logs() as logs:
        await machine.look(FIXED, MODEM)
        await machine.look(replace(FIXED, families=(), problems=(NO_CARRIER,)))
        await machine.look()
    assert [entry["event"] for entry in logs] == ["line_changed"] * 5
    assert "enx" not in str(logs)
    assert "0050b6123456" not in str(logs)
