"""What `[verdict]` means for the machine that judges."""

import msgspec

from linewatch_agent.plan.config import load_config
from linewatch_agent.plan.settings import HoldsConfig, VerdictConfig
from linewatch_agent.plan.verdict_settings import verdict_settings
from linewatch_core.judging import Hold, VerdictSettings
from linewatch_core.verdict import LineVerdict, TargetVerdict
from linewatch_core.verdict.settings import hold_of


def settings_of(text: str) -> VerdictSettings:
    return verdict_settings(load_config(text, name="f.toml").verdict)


def test_the_defaults_are_those_of_the_rules() -> None:
    """An empty file judges as the core does where records tell no settings."""
    assert verdict_settings(VerdictConfig()) == VerdictSettings()


def test_every_verdict_can_have_a_hold_of_its_own() -> None:
    """The tables are called as the verdicts are, with no other and none missing."""
    names = {each.encode_name for each in msgspec.structs.fields(HoldsConfig)}
    assert names == {*map(str, LineVerdict), *map(str, TargetVerdict)}


def test_rounds_hold_for_all_verdicts() -> None:
    """Also for `throttled`, which keeps its time, and for targets."""
    made = settings_of("[verdict]\nraise_rounds = 2\nclear_rounds = 5\nthrottled_s = 30")
    assert hold_of(made, LineVerdict.DARK) == Hold(2, 5)
    assert hold_of(made, LineVerdict.THROTTLED) == Hold(2, 5, 30_000)
    assert hold_of(made, TargetVerdict.SNI_BLOCKED) == Hold(2, 5)


def test_a_hold_of_its_own_overrides_what_it_states() -> None:
    """What the table leaves out is as for all, or as `throttled_s` says."""
    made = settings_of(
        """
        [verdict]
        clear_rounds = 4
        [verdict.hold.throttled]
        raise_rounds = 7
        [verdict.hold."throttled.target"]
        raise_s = 0.5
        [verdict.hold.unknown]
        raise_rounds = 9
        """
    )
    assert hold_of(made, LineVerdict.THROTTLED) == Hold(7, 4, 900_000)
    assert hold_of(made, TargetVerdict.THROTTLED) == Hold(3, 4, 500)
    assert hold_of(made, LineVerdict.UNKNOWN) == Hold(9, 4)
    assert hold_of(made, TargetVerdict.UNKNOWN) == Hold(9, 4)
    assert hold_of(made, LineVerdict.DARK) == Hold(3, 4)


def test_seconds_become_ms() -> None:
    """Each duration arrives in its own place, fractions too."""
    made = settings_of(
        """
        [verdict]
        carry_s = 80
        stale_s = 240
        hole_s = 2
        tight_s = 4
        tight_again_s = 20
        normal_every_s = 0.9
        normal_values = 2
        """
    )
    assert made == VerdictSettings(
        carry_ms=80_000,
        stale_ms=240_000,
        hole_ms=2000,
        tight_ms=4000,
        tight_again_ms=20_000,
        baseline_spacing_ms=900,
        baseline_values_min=2,
    )
