"""The line named in an error is the one on which the key's statement begins."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent.plan.toml_lines import line_of

TEXT = '''# a file
[a]
x = 1

y = [
  1,  # one
  """
  [b]
  x = 2
  """,
]
z.deep = 3
[[b]]
# nothing yet

[[b]]
x = 2
[b.sub]
k = { m = 1, n = 2 }
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("a", "x"), 3),
        (("a", "y"), 5),
        (("a", "y", 1), 5),
        (("a", "z"), 12),
        (("a", "z", "deep"), 12),
        (("b",), 13),
        (("b", 0), 13),
        (("b", 1), 16),
        (("b", 1, "x"), 17),
        (("b", 1, "sub"), 18),
        (("b", 1, "sub", "k", "n"), 19),
        ((), None),
        (("b", 2), None),
        (("nothing",), None),
    ],
)
def test_a_key_is_found_where_it_is_set(path: tuple[str | int, ...], line: int | None) -> None:
    """Tables, arrays, dotted keys, inline tables and strings that look like keys."""
    assert line_of(TEXT, path) == line


def test_a_value_of_very_many_lines_is_not_searched_for_ever() -> None:
    """Past the bound no line is named, rather than thousands of parses made."""
    text = "a = [\n" + "1,\n" * 3000 + "]\nb = 1\n"
    assert line_of(text, ("a", 2)) is None


PIECES = st.lists(
    st.sampled_from(["v = 1", "v = [\n1,\n2,\n]", 'v = """\n[t]\nv = 1\n"""', "# v = 1", ""]),
    min_size=1,
    max_size=20,
)


@given(PIECES)
def test_the_line_agrees_with_how_the_text_was_built(pieces: list[str]) -> None:
    """However statements are mixed, each key is found on the line where it was put."""
    lines: list[str] = []
    placed: dict[str, int] = {}
    for number, piece in enumerate(pieces):
        key = f"v{number}" if piece.startswith("v") else ""
        if key:
            placed[key] = len(lines) + 1
        lines += (key + piece.removeprefix("v")).split("\n")
    text = "\n".join(lines)
    document: dict[str, Any] = tomllib.loads(text)
    assert set(document) == set(placed)
    assert {key: line_of(text, (key,)) for key in placed} == placed
