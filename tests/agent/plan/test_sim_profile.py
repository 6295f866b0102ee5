"""The profiles of SIM cards as text; that NetworkManager takes them is in tests/appliance."""

from linewatch_agent.plan.card import Sim
from linewatch_agent.plan.sim_profile import profiles


def test_one_profile_a_sim() -> None:
    """Each SIM card has a file of its own with what was given, and nothing else."""
    made = profiles([Sim(apn="internet"), Sim(operator="40101", pin="0123", user="a")])
    assert list(made) == ["linewatch-sim-1.nmconnection", "linewatch-sim-2.nmconnection"]
    first, second = made.values()
    assert "\napn=internet\n" in first
    assert "auto-config" not in first
    assert "pin=" not in first
    assert "\npin=0123\n" in second
    assert "\nsim-operator-id=40101\n" in second
    assert "\nauto-config=true\n" in second


def test_roaming_is_off_and_tries_never_end() -> None:
    """A network that is cut for days is tried until it is back; another country's never."""
    text = "".join(profiles([Sim()]).values())
    assert "\nhome-only=true\n" in text
    assert "\nautoconnect-retries=0\n" in text


def test_the_same_sims_give_the_same_bytes() -> None:
    """What did not change is not written again."""
    assert profiles([Sim(apn="a")]) == profiles([Sim(apn="a")])


def test_blanks_and_backslashes_are_written_as_keyfiles_write_them() -> None:
    """A password may begin with a blank or hold a backslash."""
    assert (
        r"password=\s\sa\\b" in profiles([Sim(password=r"  a\b")])["linewatch-sim-1.nmconnection"]
    )
