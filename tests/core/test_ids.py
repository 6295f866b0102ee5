"""Ids are of a form that is safe in a path, a topic and a certificate's name."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.errors import MalformedError
from linewatch_core.ids import (
    is_name,
    parse_boot_id,
    parse_epoch,
    parse_probe_id,
    probe_id_bytes,
    probe_id_from_random,
)


@given(st.binary(min_size=10, max_size=10))
def test_a_probe_id_spells_its_random_bytes(raw: bytes) -> None:
    """Ten bytes become 16 characters and come back."""
    probe = probe_id_from_random(raw)
    assert parse_probe_id(probe) == probe
    assert probe_id_bytes(probe) == raw


@pytest.mark.parametrize("count", [0, 9, 11])
def test_a_probe_id_needs_ten_bytes(count: int) -> None:
    """Fewer would collide, more would not fit the header."""
    with pytest.raises(ValueError, match="needs 10 bytes"):
        probe_id_from_random(bytes(count))


BAD = ["", "a" * 15, "a" * 17, "A" * 16, "a/../../aaaaaaaa", "aaaaaaaaaaaaaaa\n", "0" * 16 + "\n"]


@pytest.mark.parametrize("text", [*BAD, "a" * 15 + "1", "a" * 15 + "é"])
def test_what_is_no_probe_id(text: str) -> None:
    """Anything else is refused with what was expected."""
    with pytest.raises(MalformedError, match=r"^not a probe id: .*expected 16 characters"):
        parse_probe_id(text)


@pytest.mark.parametrize("text", [*BAD, "g" * 16, "٣" * 16])
def test_what_is_no_epoch(text: str) -> None:
    """An epoch is 16 plain hexadecimal digits."""
    with pytest.raises(MalformedError, match=r"^not an epoch: .*16 hexadecimal digits"):
        parse_epoch(text)


def test_a_boot_id_comes_with_or_without_dashes() -> None:
    """The kernel writes a UUID with dashes and a newline; ours has neither."""
    plain = "0123456789abcdef0123456789abcdef"
    assert parse_boot_id("01234567-89AB-cdef-0123-456789abcdef\n") == plain
    assert parse_boot_id(plain) == plain
    for text in ("", "-" * 36, plain[:-1], plain + "0", "z" * 32):
        with pytest.raises(MalformedError, match=r"^not a boot id"):
            parse_boot_id(text)


@given(st.text(max_size=60))
def test_a_name_is_safe_anywhere(text: str) -> None:
    """A line's or target's name has no separator, wildcard, space or upper case."""
    assert is_name(text) is (re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,47}", text) is not None)


@given(st.text(max_size=80))
def test_any_text_is_an_id_or_malformed(text: str) -> None:
    """No other error comes out of a parser, and no message is longer than a line."""
    parsers: list[Callable[[str], str]] = [parse_probe_id, parse_epoch, parse_boot_id]
    for parse in parsers:
        problem = ""
        try:
            parse(text)
        except MalformedError as error:
            problem = str(error)
        assert "\n" not in problem
        assert len(problem) < 300
