"""Target sets written as TOML read back as they were."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.set_text import target_set_text
from linewatch_agent.plan.target_rules import parse_target_set
from linewatch_agent.plan.toml_errors import decode_toml
from linewatch_agent.targets import bundled_names, load_target_set
from linewatch_core.records import Check, Role
from linewatch_core.targets import Resolver, Target, TargetSet

WORDS = st.text(max_size=60)
TARGETS = st.builds(
    Target,
    id=WORDS,
    role=st.sampled_from(Role),
    host=WORDS,
    checks=st.lists(st.sampled_from(Check), max_size=3).map(tuple),
    port=st.integers(1, 65535),
    query=st.none() | WORDS,
    families=st.sampled_from([(4,), (6,), (4, 6)]),
    every=st.integers(1, 2880),
    category=st.none() | WORDS,
    resolver=st.none() | st.builds(Resolver, address=WORDS, name=st.none() | WORDS),
)


@given(
    st.builds(TargetSet, st.lists(TARGETS, min_size=1, max_size=4).map(tuple), WORDS, WORDS, WORDS)
)
def test_any_set_reads_back_as_it_was(found: TargetSet) -> None:
    """Quotes, control characters, several lines, inner tables: nothing is lost or misread."""
    assert decode_toml(target_set_text(found), TargetSet, name="s")[0] == found


def test_the_bundled_sets_read_back_as_they_were() -> None:
    """What we ship can be written by what we ship."""
    for name in bundled_names():
        found = load_target_set(name, Path())
        assert parse_target_set(target_set_text(found), name=name) == found


def test_only_what_is_not_the_default_is_written() -> None:
    """A set that a person will edit says no more than it must."""
    target = Target(id="a", role=Role.NEUTRAL, host="a.example", checks=(Check.TCP,), port=80)
    text = target_set_text(TargetSet(target=(target,), name="N", about='two\nlines of "it"\n'))
    assert text == (
        'name = "N"\nabout = """\ntwo\nlines of \\"it\\"\n"""\nsource = ""\n\n'
        '[[target]]\nid = "a"\nrole = "neutral"\nhost = "a.example"\nchecks = ["tcp"]\nport = 80\n'
    )
