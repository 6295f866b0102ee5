"""What the index answers: strips, targets, events and samples, placed by anchors."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewatch_core.errors import LimitError
from linewatch_core.modem_words import (
    MODEM_TARGET,
    Bearer,
    ModemDetail,
    ModemStep,
    ModemTrouble,
    Registration,
    Sim,
)
from linewatch_core.records import (
    Anchor,
    AnchorSource,
    Body,
    BootStarted,
    BudgetChanged,
    Check,
    ConfigApplied,
    Gap,
    GapReason,
    LineChanged,
    LineKind,
    ModemReset,
    Record,
    Role,
    Stream,
    TargetNote,
    Transition,
)
from linewatch_core.segment.segment import Segment
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index import queries
from linewatch_server.index.opening import Opener
from linewatch_server.index.queries import Queries
from linewatch_server.index.writer import Index
from linewatch_server.model.strips import Cell, CellState, StripRow
from tests.support.probes import Item, ProbeWriter, boot_id, roll, sample, store
from tests.support.segments import recipient_secret

SECRETS = (recipient_secret("fleet"),)
UTC = 1_800_000_000_000 // 3_600_000 * 3_600_000
MINUTE, HOUR = 60_000, 3_600_000
A, B = boot_id("a"), boot_id("b")


class Server:
    """An archive with its index, and what asks it."""

    def __init__(self, directory: Path) -> None:
        self.archive = ArchiveWriter(directory)
        self.index = Index(directory, self.archive, Opener(SECRETS))
        self.ask = Queries(directory, recipient_secrets=SECRETS)

    def take(self, *items: Item) -> None:
        """Archive and index the items."""
        self.index.apply(store(self.archive, *items))

    def close(self) -> None:
        """Close both."""
        self.index.close()
        self.archive.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Give an empty server that holds the fleet's key."""
    opened = Server(tmp_path)
    yield opened
    opened.close()


def opening(utc_ms: int = UTC, mono_ms: int = 0) -> list[Body]:
    """Return the first records of a boot: its start, an exact anchor, its line."""
    return [
        BootStarted(mono_ms, "0.1.0"),
        Anchor(mono_ms, utc_ms, 5, AnchorSource.NTP),
        LineChanged(mono_ms, "fixed-1", LineKind.FIXED, True, (4,)),
    ]


def minutes(first: int, last: int, **fields: object) -> list[Body]:
    """Return a sample at the half of each minute first..last-1 of the boot's clock."""
    return [sample(n * MINUTE + 30_000, **fields) for n in range(first, last)]


def letters(row: StripRow) -> str:
    """Return a row as a word: d data, g gap, - no data."""
    short = {CellState.DATA: "d", CellState.GAP: "g", CellState.NO_DATA: "-"}
    return "".join(short[cell.state] for cell in row.cells)


def test_an_hour_of_samples_fills_its_own_cells_only(server: Server) -> None:
    """Cells before and after the data say no data, not the last value."""
    probe = ProbeWriter()
    server.take(probe.enrolment(), probe.close(A, opening()), probe.close(A, minutes(0, 60)))
    strips = server.ask.strips(UTC - HOUR, UTC + 2 * HOUR, 15 * MINUTE)
    (row,) = strips.rows
    assert (row.probe, row.line, row.kind, row.unplaced) == (
        probe.probe,
        "fixed-1",
        LineKind.FIXED,
        0,
    )
    assert letters(row) == "----dddd----"
    assert row.cells[4] == Cell(15, 15, CellState.DATA, None, False)
    assert not strips.from_raw


@pytest.mark.parametrize("cell_ms", [MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, HOUR])
def test_no_check_is_lost_or_drawn_twice_at_any_cell_width(server: Server, cell_ms: int) -> None:
    """The checks of all cells add up to those made, from roll-ups and from samples alike."""
    probe = ProbeWriter()
    made = [*minutes(0, 50), *minutes(0, 50, target="shop", failure="connection_reset")]
    server.take(probe.enrolment(), probe.close(A, opening()), probe.close(A, made))
    strips = server.ask.strips(UTC - HOUR, UTC + 2 * HOUR, cell_ms)
    (row,) = strips.rows
    assert sum(cell.sent for cell in row.cells) == 100
    assert sum(cell.answered for cell in row.cells) == 50
    assert strips.from_raw == (cell_ms < 10 * MINUTE)
    full = math.ceil(50 * MINUTE / cell_ms)
    assert letters(row).count("d") == full


def test_a_known_gap_is_its_own_state_with_its_reason(server: Server) -> None:
    """Between two boots the probe says that it was off; beyond them nothing is known."""
    probe = ProbeWriter()
    off = Gap(0, GapReason.REBOOTED, A, HOUR, 0)
    second = [*opening(UTC + 3 * HOUR), off]
    server.take(probe.enrolment(), probe.close(A, opening()), probe.close(A, minutes(0, 60)))
    server.take(probe.close(B, second), probe.close(B, minutes(0, 60)))
    (row,) = server.ask.strips(UTC - HOUR, UTC + 5 * HOUR, HOUR).rows
    assert letters(row) == "-dggd-"
    assert row.cells[2].gap is GapReason.REBOOTED
    assert (row.cells[0].gap, row.cells[5].gap) == (None, None)


def test_a_gap_of_one_line_is_not_drawn_on_another(server: Server) -> None:
    """Only a gap of all lines, or of this one, explains a line's silence."""
    probe = ProbeWriter()
    mobile = LineChanged(0, "mobile-1", LineKind.MOBILE, True, (4,))
    lost = Gap(2 * HOUR, GapReason.OVERRUN, A, HOUR, 2 * HOUR, "mobile-1")
    server.take(probe.enrolment(), probe.close(A, [*opening(), mobile, lost]))
    fixed, other = server.ask.strips(UTC, UTC + 3 * HOUR, HOUR).rows
    assert (fixed.line, letters(fixed)) == ("fixed-1", "---")
    assert (other.line, other.kind, letters(other)) == ("mobile-1", LineKind.MOBILE, "-g-")


def test_checks_that_nothing_places_are_counted_and_not_drawn(server: Server) -> None:
    """A boot without any anchor yet shows how much waits for one, and no cell."""
    probe = ProbeWriter()
    server.take(probe.enrolment(), probe.close(A, [BootStarted(0, "0.1.0")]))
    server.take(probe.close(A, minutes(0, 60)))
    (row,) = server.ask.strips(UTC, UTC + HOUR, 15 * MINUTE).rows
    assert (letters(row), row.unplaced, row.kind) == ("----", 60, None)
    server.take(probe.close(A, [Anchor(HOUR, UTC + HOUR, 5, AnchorSource.SERVER)]))
    (row,) = server.ask.strips(UTC, UTC + HOUR, 15 * MINUTE).rows
    assert (letters(row), row.unplaced) == ("dddd", 0)


def test_wide_or_disputed_times_are_flagged(server: Server) -> None:
    """A cell that is finer than what is known of its time says so."""
    probe = ProbeWriter()
    vague: list[Body] = [BootStarted(0, "0.1.0"), Anchor(0, UTC, 20 * MINUTE, AnchorSource.RTC)]
    server.take(probe.enrolment(), probe.close(A, vague), probe.close(A, minutes(0, 60)))
    (row,) = server.ask.strips(UTC, UTC + HOUR, 15 * MINUTE).rows
    assert all(cell.uncertain for cell in row.cells)
    (row,) = server.ask.strips(UTC, UTC + HOUR, HOUR).rows
    assert not row.cells[0].uncertain
    against = Anchor(HOUR, UTC + HOUR + 50 * MINUTE, 5, AnchorSource.NTP)
    server.take(probe.close(A, [against]))
    (row,) = server.ask.strips(UTC, UTC + 2 * HOUR, HOUR).rows
    assert any(cell.uncertain for cell in row.cells)


def test_the_fuller_of_raw_and_own_roll_ups_counts_never_the_sum(server: Server) -> None:
    """Roll records come first; the samples behind them replace them as they arrive."""
    probe = ProbeWriter()
    rolls = [roll(n, sent=5, answered=4, failures={"eof_error": 1}) for n in range(12)]
    server.take(probe.enrolment(), probe.close(A, opening()), probe.close(A, rolls))

    def hour() -> tuple[int, int]:
        (row,) = server.ask.strips(UTC, UTC + HOUR, HOUR).rows
        (target,) = server.ask.targets(probe.probe, "fixed-1", UTC, UTC + HOUR)
        assert (target.sent, target.answered) == (row.cells[0].sent, row.cells[0].answered)
        return row.cells[0].sent, row.cells[0].answered

    # The clock's last record is 65 minutes in, so that the roll records can all be placed.
    assert hour() == (60, 48)
    server.take(probe.close(A, minutes(0, 3)))
    assert hour() == (60, 48)
    server.take(probe.close(A, minutes(3, 60)))
    assert hour() == (60, 60)


def test_targets_tell_loss_failures_and_exact_times(server: Server) -> None:
    """Per target and check: counts, failure names, and times by nearest rank."""
    probe = ProbeWriter()
    notes = (TargetNote("bank", Role.DOMESTIC, (Check.TCP,)),)
    config = ConfigApplied(0, "ab" * 32, 30_000, notes)
    made = [sample(n * MINUTE, rtt_us=1000 * (n + 1)) for n in range(20)]
    made += [sample(n * MINUTE + 500, failure="eof_error") for n in range(5)]
    server.take(probe.enrolment(), probe.close(A, [*opening(), config]), probe.close(A, made))
    (bank,) = server.ask.targets(probe.probe, "fixed-1", UTC, UTC + HOUR)
    assert (bank.target, bank.role, bank.check) == ("bank", Role.DOMESTIC, "tcp")
    assert (bank.sent, bank.answered, bank.failures) == (25, 20, (("eof_error", 5),))
    assert bank.loss == 0.2
    assert bank.rtt is not None
    assert (bank.rtt.min_us, bank.rtt.median_us, bank.rtt.p95_us) == (1000, 10_000, 19_000)
    assert bank.rtt.exact
    assert not bank.uncertain
    assert server.ask.targets(probe.probe, "mobile-1", UTC, UTC + HOUR) == ()
    assert server.ask.targets(probe.probe, "fixed-1", UTC + HOUR, UTC + 2 * HOUR) == ()


GATEWAY = (TargetNote("router", Role.GATEWAY, (Check.ICMP,)),)
DARK = "generic_timeout_error"


@pytest.mark.parametrize("config_first", [True, False])
@pytest.mark.parametrize("cell_ms", [MINUTE, 15 * MINUTE])
def test_a_line_dead_behind_its_gateway_shows_that_nothing_answered(
    server: Server, cell_ms: int, config_first: bool
) -> None:
    """Neither gateway, modem nor trace counts as an answer, whenever the configuration comes."""
    probe = ProbeWriter()
    config = probe.close(A, [*opening(), ConfigApplied(0, "ab" * 32, 30_000, GATEWAY)])
    raw = probe.close(
        A,
        [
            *minutes(0, 30, failure=DARK),
            *minutes(0, 30, target="router", check=Check.ICMP),
            *minutes(0, 30, target=MODEM_TARGET, check=Check.MODEM, detail=ModemDetail()),
            *minutes(0, 30, check=Check.TRACE),
        ],
    )
    rolls = [roll(n, sent=10, answered=0, failures={DARK: 10}) for n in range(6, 12)]
    rolls += [roll(n, target="router", check=Check.ICMP) for n in range(6, 12)]
    rolls += [roll(n, target=MODEM_TARGET, check=Check.MODEM) for n in range(6, 12)]
    parts = [raw, probe.close(A, rolls)]
    server.take(probe.enrolment(), *([config, *parts] if config_first else [*parts, config]))
    (row,) = server.ask.strips(UTC, UTC + HOUR, cell_ms).rows
    assert {cell.answered for cell in row.cells} == {0}
    assert sum(cell.sent for cell in row.cells) == (30 if cell_ms == MINUTE else 90)
    targets = server.ask.targets(probe.probe, "fixed-1", UTC, UTC + HOUR)
    assert [(one.target, one.answered) for one in targets] == [("bank", 0), ("router", 90)]


def test_lines_tell_their_operator_saving_and_modem(server: Server) -> None:
    """The newest word of each counts, from whichever boot; what was never told is None."""
    probe = ProbeWriter()
    told: list[Body] = [
        LineChanged(5, "mobile-1", LineKind.MOBILE, True, (4,), (), "99970"),
        BudgetChanged(MINUTE, "mobile-1", 2),
        BudgetChanged(2 * MINUTE, "mobile-1", 1),
        ModemReset(3 * MINUTE, "mobile-1", ModemStep.RESET, ModemTrouble.SILENT, False),
    ]
    home = ModemDetail(True, Sim.READY, Registration.HOME, Bearer.UP, -91, "99970", "lte")
    gone = ModemDetail(present=False)
    server.take(probe.enrolment(), probe.close(A, [*opening(), *told]))
    later = probe.close(B, opening(UTC + 2 * HOUR))
    said = {"line": "mobile-1", "target": MODEM_TARGET, "check": Check.MODEM}
    server.take(later, probe.close(B, [sample(HOUR, detail=home, **said)]))
    server.take(probe.close(A, [sample(HOUR, detail=gone, **said)]))
    fixed, mobile = server.ask.lines(probe.probe)
    assert (fixed.operator, fixed.budget_step, fixed.budget_since) == (None, 0, None)
    assert fixed.modem is None
    assert (mobile.operator, mobile.budget_step) == ("99970", 1)
    assert mobile.budget_since is not None
    assert abs((mobile.budget_since.middle_ms or 0) - UTC - 2 * MINUTE) < 1000
    assert mobile.modem is not None
    assert (mobile.modem.technology, mobile.modem.signal_dbm) == ("lte", -91)
    assert abs((mobile.modem.at.middle_ms or 0) - UTC - 3 * HOUR) < 3000
    server.take(probe.close(B, [sample(HOUR + 9, detail=gone, **said)]))
    server.take(probe.close(B, [sample(HOUR + 5, detail=home, **said)]))
    again = server.ask.lines(probe.probe)[1].modem
    assert again is not None
    assert not again.present
    events = server.ask.events(UTC, UTC + 4 * HOUR)
    assert [(one.line, one.step) for one in events.budget_steps] == [
        ("mobile-1", 2),
        ("mobile-1", 1),
    ]
    (reset,) = events.modem_resets
    assert (reset.line, reset.step, reset.trouble, reset.done) == (
        "mobile-1",
        ModemStep.RESET,
        ModemTrouble.SILENT,
        False,
    )
    assert abs((reset.at.middle_ms or 0) - UTC - 3 * MINUTE) < 1000
    assert [one.operator for one in events.line_changes if one.line == "mobile-1"] == ["99970"]
    rows = server.ask.strips(UTC, UTC + HOUR, HOUR).rows
    assert [row.operator for row in rows] == [None, "99970"]


def test_events_carry_bounds_and_are_filtered_by_them(server: Server) -> None:
    """A transition that can lie in the range is told, with the earliest and latest moment."""
    probe = ProbeWriter()
    dark = Transition(
        HOUR, "fixed-1", None, "ok", "dark", HOUR - 60_000, HOUR - 30_000, "dark", 3, (7, 8)
    )
    server.take(probe.enrolment(), probe.close(A, [*opening(), dark]))
    (told,) = server.ask.events(UTC, UTC + 2 * HOUR).transitions
    assert (told.before, told.after, told.rule_version, told.samples) == ("ok", "dark", 3, (7, 8))
    assert told.earliest.lo_ms is not None
    assert told.latest.hi_ms is not None
    assert UTC + HOUR - 62_000 < told.earliest.lo_ms < UTC + HOUR - 60_000
    assert UTC + HOUR - 30_000 < told.latest.hi_ms < UTC + HOUR - 28_000
    assert server.ask.events(UTC + 2 * HOUR, UTC + 3 * HOUR).transitions == ()
    (change,) = server.ask.events(UTC, UTC + HOUR).line_changes
    assert (change.line, change.at.lo_ms) == ("fixed-1", UTC - 5)
    assert server.ask.events(UTC, UTC + HOUR, probe=ProbeWriter("other").probe).gaps == ()


def test_lines_are_told_as_last_described(server: Server) -> None:
    """The newest description of each line counts."""
    probe = ProbeWriter()
    gone = LineChanged(HOUR, "fixed-1", LineKind.FIXED, False, (), ("no_carrier",))
    server.take(probe.enrolment(), probe.close(A, [*opening(), gone]))
    (line,) = server.ask.lines(probe.probe)
    assert (line.line, line.usable, line.problems) == ("fixed-1", False, ("no_carrier",))
    assert line.since.lo_ms is not None
    assert abs(line.since.lo_ms - (UTC + HOUR)) < 3_000


def test_the_fleet_tells_what_is_held_and_what_is_missing(server: Server) -> None:
    """Per stream: ranges, holes, counts; an enrolled probe that never sent is there too."""
    probe, silent = ProbeWriter(), ProbeWriter("silent")
    parts = [probe.close(A, minutes(10 * n, 10 * n + 10)) for n in range(3)]
    server.index.apply(store(server.archive, probe.enrolment(), silent.enrolment(), at_ms=77))
    server.index.apply(store(server.archive, parts[0], parts[2], at_ms=99))
    views = {view.probe: view for view in server.ask.fleet()}
    assert views[silent.probe].streams == ()
    assert views[silent.probe].last_arrival_ms is None
    (raw,) = views[probe.probe].streams
    assert (raw.stream, raw.ranges, raw.holes) == (Stream.RAW, ((1, 10), (21, 30)), ((11, 20),))
    assert (raw.records, raw.sealed, raw.unreadable) == (20, 0, 0)
    assert (views[probe.probe].enrolled_ms, views[probe.probe].last_arrival_ms) == (77, 99)


def test_samples_come_in_order_of_time_across_segments_and_boots(server: Server) -> None:
    """A check that began early and ended late stands in the next segment, and is sorted in."""
    probe = ProbeWriter()
    first = [sample(1000), sample(3000), sample(5000)]
    second = [sample(2000), sample(4000, line="mobile-1"), sample(6000)]
    server.take(probe.enrolment(), probe.close(A, opening()), probe.close(A, first))
    server.take(probe.close(A, second))
    server.take(probe.close(B, opening(UTC + HOUR)), probe.close(B, [sample(500)]))
    rows = list(server.ask.samples(probe.probe, None, UTC, UTC + 2 * HOUR))
    assert [row.seq for row in rows] == [1, 4, 2, 5, 3, 6, 7]
    assert [row.boot for row in rows] == [A] * 6 + [B]
    assert all(row.at.lo_ms is not None and row.at.lo_ms >= UTC for row in rows)
    mobile = list(server.ask.samples(probe.probe, "mobile-1", UTC, UTC + 2 * HOUR))
    assert [row.sample.mono_ms for row in mobile] == [4000]
    later = list(server.ask.samples(probe.probe, None, UTC + 4500, UTC + 2 * HOUR))
    assert [row.seq for row in later] == [3, 6, 7]


def test_samples_are_opened_as_they_are_read(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the first row of a long range opens the first two segments, not all."""
    probe = ProbeWriter()
    parts = [probe.close(A, minutes(10 * n, 10 * n + 10)) for n in range(20)]
    server.take(probe.enrolment(), probe.close(A, opening()), *parts)
    opened = []
    really_open = Opener.open

    def counting_open(self: Opener, segment: Segment) -> list[Record] | None:
        opened.append(segment.header.position)
        return really_open(self, segment)

    monkeypatch.setattr(Opener, "open", counting_open)
    rows = server.ask.samples(probe.probe, None, UTC, UTC + 9 * HOUR)
    assert next(rows).seq == 1
    assert len(opened) <= 2
    assert len(list(rows)) == 199
    assert len(opened) == 20


def test_too_fine_a_drawing_is_refused_before_anything_is_opened(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which cells or ranges would do."""
    probe = ProbeWriter()
    parts = [probe.close(A, minutes(n, n + 1)) for n in range(6)]
    server.take(probe.enrolment(), probe.close(A, opening()), *parts)
    monkeypatch.setattr(queries, "FINE_SAMPLES_MAX", 5)
    with monkeypatch.context() as patch:
        patch.delattr(Opener, "open")
        with pytest.raises(LimitError, match="choose cells of 10 minutes or more"):
            server.ask.strips(UTC, UTC + HOUR, MINUTE)
    assert len(server.ask.strips(UTC, UTC + 3 * MINUTE, MINUTE).rows) == 1


def test_a_replaced_card_does_not_disturb_the_old_ones_times(server: Server) -> None:
    """Two stores of one probe are two timelines; both are drawn in the one row of the line."""
    old, new = ProbeWriter(store="card"), ProbeWriter(store="second card")
    server.take(old.enrolment(), old.close(A, opening()), old.close(A, minutes(0, 60)))
    server.take(new.enrolment(), new.close(B, opening(UTC + 2 * HOUR)))
    server.take(new.close(B, minutes(0, 60)))
    (row,) = server.ask.strips(UTC, UTC + 4 * HOUR, HOUR).rows
    assert letters(row) == "d-d-"
