"""firmware-config/ as a folder: nothing in it goes unused, and its pages say the same."""

import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from tests.appliance.root import ROOT

FIRMWARE = ROOT / "firmware-config"
LANGUAGES = {"en": "LATIN", "ru": "CYRILLIC", "kk": "CYRILLIC", "be": "CYRILLIC", "my": "MYANMAR"}
OWN_LETTERS = {"en": "th", "ru": "иы", "kk": "әғқңөұүі", "be": "ўі", "my": "န"}
"""Letters that tell the language from its neighbours; all of them occur."""
TOOLS = ("apply.sh", "seed-card", "imager-manifest")


def _files() -> set[str]:
    files = (path.relative_to(FIRMWARE) for path in FIRMWARE.rglob("*") if path.is_file())
    return {str(path) for path in files if path.parts[0] != "__pycache__"}


def _placed() -> dict[str, str]:
    """Return what apply.sh says that it places: source to place."""
    command = [str(FIRMWARE / "apply.sh"), "--list"]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {row.split("|")[0]: row.split("|")[1] for row in rows}


def test_no_file_goes_unused() -> None:
    """What is neither a tool, a page, nor of the image build is placed by apply.sh."""
    others = {name for name in _files() if name.endswith(".md") or "image-gen/" in name}
    assert _files() == set(_placed()) | others | set(TOOLS)


def test_dropins_sort_after_raspberry_pis() -> None:
    """Raspberry Pi OS ships drop-ins as 40-*: ours are read later."""
    for place in _placed().values():
        if ".d/" in place:
            assert Path(place).name.startswith("99-")


def test_swap_stays_in_memory() -> None:
    """rpi-swap's setting is the one that writes no file (swap.conf(5) of rpi-swap)."""
    text = (FIRMWARE / "etc/swap.conf").read_text()
    assert [line for line in text.splitlines() if line[:1] != "#"] == ["[Main]", "Mechanism=zram"]


def test_the_index_names_every_part() -> None:
    """The folder's own page names each file or the folder that it is in."""
    page = (FIRMWARE / "README.md").read_text()
    for name in _files() - {"README.md"}:
        top = name.partition("/")[0]
        assert f"({top}" in page, name


def _shape(text: str) -> tuple[list[str], list[str], int]:
    """Return what a page has in any language: its marks, its code, its bold parts."""
    marks = re.findall(r"^(#+|[-*]|\d\.)(?= )", text, re.MULTILINE)
    return marks, re.findall(r"`[^`]+`", text), text.count("**")


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_a_page_says_what_english_says(code: str) -> None:
    """Each language has the same headings, steps, files, signals and figures, on one page."""
    english = (FIRMWARE / "volunteer/en.md").read_text()
    text = (FIRMWARE / f"volunteer/{code}.md").read_text()
    assert _shape(text) == _shape(english)
    assert "150" in text
    assert len(text.splitlines()) <= 50
    assert all(letter in text for letter in OWN_LETTERS[code])
    letters = [c for c in re.sub(r"`[^`]+`", "", text) if c.isalpha()]
    own = [c for c in letters if unicodedata.name(c).startswith(LANGUAGES[code])]
    assert len(own) > 0.8 * len(letters)


def test_the_problem_file_speaks_the_same_languages() -> None:
    """What the probe writes on the card begins in each of the five languages."""
    text = (ROOT / "agent/linewatch_agent/card/linewatch-problem.txt").read_text()
    parts = text.strip().split("\n\n")
    assert len(parts) == len(LANGUAGES)
    for part, code in zip(parts, ("en", "ru", "kk", "be", "my"), strict=True):
        assert any(letter in part for letter in OWN_LETTERS[code])


@pytest.mark.parametrize("tool", TOOLS)
def test_the_pages_commands_have_these_options(tool: str) -> None:
    """Each option that the operators' page gives a tool is one of the tool's."""
    page = (FIRMWARE / "fleet.md").read_text().replace("\\\n", " ")
    lines = [line for line in page.splitlines() if tool in line and "--" in line]
    assert lines
    command = [str(FIRMWARE / tool)]
    sub = ("tokens", "write", "table") if tool == "seed-card" else ("",)
    helps = ""
    for name in sub:
        arguments = [*command, *([name] if name else []), "--help"]
        helps += subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    for line in lines:
        after = re.sub(r'"[^"]*"', "", line.split(tool, 1)[1])
        for option in re.findall(r"--[a-z]+", after):
            assert option in helps, line


@pytest.mark.parametrize("tool", ["seed-card", "imager-manifest"])
def test_the_tools_pass_the_linter(tool: str) -> None:
    """Programs without an ending are checked as the others are."""
    path = str(FIRMWARE / tool)
    types = ("mypy", "--strict", "--scripts-are-modules", "--cache-dir=.mypy_cache")
    for command in (("ruff", "check"), ("ruff", "format", "--check"), types):
        done = subprocess.run(
            [sys.executable, "-m", *command, path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
