"""firmware-config/ as a folder: nothing in it goes untested, and its pages say the same."""

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
EXERCISED = {
    "apply.sh": "test_firmware.py::test_a_second_run_changes_nothing",
    "boot/cmdline.txt": "test_firmware.py::test_boot_files_are_merged",
    "boot/config.txt": "test_firmware.py::test_boot_files_are_merged",
    "boot/linewatch-example.toml": "test_firmware_cards.py::test_the_example_is_right",
    "cloud-init/99-linewatch.cfg": "test_firmware.py::test_no_log_reaches_the_card",
    "cloud-init/meta-data": "test_firmware.py::test_cloud_init_takes_its_files",
    "cloud-init/network-config": "test_firmware.py::test_cloud_init_knows_every_key",
    "cloud-init/user-data": "test_firmware.py::test_cloud_init_knows_every_key",
    "etc/70-linewatch-usb.link": "test_firmware_network.py::test_the_link_file_is_understood",
    "etc/journald.conf": "test_firmware.py::test_no_log_reaches_the_card",
    "etc/swap.conf": "test_firmware_folder.py::test_swap_stays_in_memory",
    "etc/system.conf": "test_firmware.py::test_managers_settings",
    "etc/timesyncd.conf": "test_firmware.py::test_time_settings",
    "fleet.md": "test_firmware_folder.py::test_the_pages_commands_have_these_options",
    "fstab.txt": "test_firmware.py::test_fstab",
    "image-gen/linewatch-probe.yaml": "test_firmware_image.py::test_the_layer_does_what_apply_does",
    "image-gen/linewatch.yaml": "test_firmware_image.py::test_the_image_uses_the_layer",
    "imager-manifest": "test_firmware_image.py::test_a_manifest_fits_its_image",
    "masks.txt": "test_firmware.py::test_masks",
    "networkmanager/99-linewatch.conf": "test_firmware_network.py::test_networkmanagers_settings",
    "networkmanager/linewatch-fixed.nmconnection": "test_firmware_network.py::test_every_route",
    "networkmanager/linewatch-mobile.nmconnection": "test_firmware.py::test_profiles_are_loaded",
    "networkmanager/linewatch-usb.nmconnection": "test_firmware_network.py::test_every_route",
    "packages.txt": "test_firmware.py::test_packages_exist_and_are_not_missed",
    "README.md": "test_firmware_folder.py::test_the_index_names_every_part",
    "seed-card": "test_firmware_cards.py::test_two_hundred_cards",
    **{
        f"volunteer/{code}.md": "test_firmware_folder.py::test_a_page_says_what_english_says"
        for code in LANGUAGES
    },
}
"""Each file of the folder, and the test that would fail if it did not do its work."""


def _files() -> set[str]:
    return {str(path.relative_to(FIRMWARE)) for path in FIRMWARE.rglob("*") if path.is_file()}


def _placed() -> dict[str, str]:
    """Return what apply.sh says that it places: source to place."""
    command = [str(FIRMWARE / "apply.sh"), "--list"]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {row.split("|")[0]: row.split("|")[1] for row in rows}


def test_no_file_goes_untested() -> None:
    """Each file has a test; what apply.sh places is in the folder."""
    assert _files() == set(EXERCISED)
    assert set(_placed()) <= _files()


def test_no_file_goes_unused() -> None:
    """What is neither a tool, a page, nor of the image build is placed by apply.sh."""
    others = {name for name in _files() if name.endswith(".md") or "image-gen/" in name}
    assert _files() == set(_placed()) | others | set(TOOLS)


@pytest.mark.parametrize("test", sorted(set(EXERCISED.values())))
def test_the_named_tests_exist(test: str) -> None:
    """A test that is named above is there."""
    file, name = test.split("::")
    assert f"def {name}(" in (Path(__file__).with_name(file)).read_text()


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
