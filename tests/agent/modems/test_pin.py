"""A PIN that did not open a SIM is never tried twice: the mark, and what root makes of it."""

import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from linewatch_agent.card import failed_pin
from linewatch_agent.card.failed_pin import ADVICE, usable_sims
from linewatch_agent.modems import pin
from linewatch_agent.modems.look import Said
from linewatch_agent.modems.pin import MARK, OPENED_WITHIN_S, PinWatch
from linewatch_agent.modems.values import ModemValues
from linewatch_agent.plan.card import Sim
from linewatch_agent.plan.sim_profile import profiles

WAITS = Said(ModemValues(state=2, sim="/SIM/0", unlock_required=2))
PUK = Said(ModemValues(state=2, sim="/SIM/0", unlock_required=4))
OPEN = Said(ModemValues(state=8, sim="/SIM/0", unlock_required=1))


def test_both_ends_know_the_mark_by_one_name() -> None:
    """The agent writes it, root reads it; neither imports the other."""
    assert pin.MARK == failed_pin.MARK == "pin-failed"


@pytest.mark.parametrize(
    ("looks", "marked"),
    [
        pytest.param([(0, WAITS), (OPENED_WITHIN_S, WAITS)], True, id="never opened"),
        pytest.param([(0, WAITS), (30, OPEN), (OPENED_WITHIN_S, OPEN)], False, id="opened"),
        pytest.param([(0, WAITS), (299, WAITS)], False, id="not yet"),
        pytest.param([(0, PUK), (9e4, PUK)], False, id="no PIN would help"),
        pytest.param([(0, WAITS), (30, None), (301, WAITS)], False, id="it came anew"),
        pytest.param([(0, WAITS), (30, Said(None)), (301, WAITS)], False, id="it was silent"),
    ],
)
def test_a_sim_that_stays_locked_is_marked(
    tmp_path: Path, looks: list[tuple[float, Said | None]], marked: bool
) -> None:
    """After five minutes in which it said so; once, and for the agent's user only."""
    watch = PinWatch(tmp_path)
    for at_s, said in looks:
        watch.looked({"wwan0": said, "wwan1": OPEN}, now_s=1000.0 + at_s)
    assert (tmp_path / MARK).exists() is marked
    if marked:
        assert (tmp_path / MARK).read_bytes() == b""
        assert stat.S_IMODE((tmp_path / MARK).stat().st_mode) == 0o600


def test_a_mark_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    """The disk may be full for a while."""
    folder = tmp_path / "state"
    watch = PinWatch(folder)
    with capture_logs() as logs:
        for at_s in (0.0, 400.0):
            watch.looked({"wwan0": WAITS}, now_s=at_s)
        folder.mkdir()
        for at_s in (430.0, 460.0):
            watch.looked({"wwan0": WAITS}, now_s=at_s)
    assert (folder / MARK).exists()
    assert [log["event"] for log in logs] == ["pin_mark_not_written", "sim_waits_for_its_pin"]


SIM = Sim(apn="internet", pin="0000")


class Card:
    """A machine's folders, start after start."""

    def __init__(self, root: Path) -> None:
        self.state, self.config, self.installed = (root / n for n in ("state", "etc", "nm"))
        for folder in (self.state, self.installed):
            folder.mkdir()

    def start(self, *sims: Sim) -> tuple[list[str | None], bool]:
        """Take in a card as first boot does; return the PINs used, and whether one was refused."""
        used, problem = usable_sims(
            sims, state=self.state, config=self.config, installed=self.installed
        )
        for old in self.installed.iterdir():
            old.unlink()
        for name, text in profiles(used).items():
            (self.installed / name).write_text(text)
        assert problem in (None, ADVICE)
        return [sim.pin for sim in used], problem is not None

    def fail(self) -> None:
        """Run the agent with a SIM that stays locked."""
        (self.state / MARK).write_bytes(b"")


@pytest.fixture
def card(tmp_path: Path) -> Card:
    """A machine that was never started."""
    return Card(tmp_path)


def test_a_pin_that_works_is_used_at_every_start(card: Card) -> None:
    """Nothing marks it."""
    assert [card.start(SIM) for _ in range(3)] == [(["0000"], False)] * 3


def test_a_pin_that_failed_is_used_once(card: Card) -> None:
    """Not at the next start, nor the one after: the SIM would be locked by then."""
    starts = []
    for _ in range(4):
        starts.append(card.start(SIM))
        card.fail()
    assert starts == [(["0000"], False)] + [([None], True)] * 3


def test_another_pin_is_used_once_too(card: Card) -> None:
    """Also if it comes while the mark of the old one is still there."""
    other = Sim(apn="internet", pin="1234")
    card.start(SIM)
    card.fail()
    assert card.start(other) == (["1234"], False)
    card.fail()
    assert card.start(other) == ([None], True)


def test_of_several_all_are_left_out(card: Card) -> None:
    """Which of them failed nobody can tell."""
    second = Sim(operator="00102", pin="1111")
    card.start(SIM, second)
    card.fail()
    assert card.start(SIM, second) == ([None, None], True)


def test_a_sim_without_a_pin_on_the_card_is_no_failure(card: Card) -> None:
    """The person locked it after the card was written: the status says so."""
    card.start(Sim(apn="internet"))
    card.fail()
    assert card.start(Sim(apn="internet")) == ([None], False)
    assert card.start(SIM) == (["0000"], False)
    assert card.start() == ([], False)


def test_a_mark_that_points_elsewhere_hurts_nobody(card: Card, tmp_path: Path) -> None:
    """Its folder is the agent's; root only takes away what stands under the name."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    card.start(SIM)
    (card.state / MARK).symlink_to(elsewhere)
    assert card.start(SIM) == ([None], True)
    assert elsewhere.read_text() == "precious"
    assert not (card.state / MARK).is_symlink()
