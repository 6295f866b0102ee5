"""The rules of the repository that a machine can check.

Reads the files of the checkout as they lie there, git or no git; runs nothing
but `make --dry-run`. What it forbids is built from parts here, so that this
file passes its own rules.
"""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
NOT_OURS = {"__pycache__", "dist", "demo-state"}
MACHINE_PATH = re.compile(rf"(?<![\w.~-])/(?:{'|'.join(['work', 'root', 'home'])})/")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TARGETS = ("help", "demo", "lab", "sim", "soak", "test", "test-all", "lint", "lock", "deb", "clean")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


def _files(suffixes: tuple[str, ...] = ("",)) -> Iterator[Path]:
    """Yield the checkout's own files whose names end in one of `suffixes`.

    Hidden folders but .ci are somebody's tools, and .coverage holds their paths.
    """
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f == ".ci" or not (f in NOT_OURS or f[0] == ".")]
        ours = (name for name in names if not name.startswith(".coverage"))
        yield from (Path(folder, name) for name in ours if name.endswith(suffixes))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _requirements() -> list[Requirement]:
    """Return everything that pyproject.toml asks for: at build, at run time, in the extras."""
    text = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = text["project"]
    extras = project["optional-dependencies"].values()
    lists = [text["build-system"]["requires"], project["dependencies"], *extras]
    return [Requirement(line) for lines in lists for line in lines]


def _locked() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = (line.split(" ")[0].split("==") for line in lines if "==" in line and line[0] != " ")
    return {canonicalize_name(name): Version(version) for name, version in pins}


def _anchors(page: Path) -> set[str]:
    """Return the fragment ids that a Markdown page's headings get."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", sorted(_files((".md",))), ids=_name)
def test_links_resolve(page: Path) -> None:
    """Every link to a file or heading of this repository leads somewhere."""
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (fragment and fragment not in _anchors(target)):
            broken.append(link)
    assert not broken


def test_no_path_of_a_machine() -> None:
    """No file names a folder of the machine that it was written on."""
    found = []
    for path in _files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{_name(path)}: {m.group()}" for m in MACHINE_PATH.finditer(text)]
    assert not found


@pytest.mark.parametrize("target", TARGETS)
def test_make_has_target(target: str) -> None:
    """Each target that the docs promise can be made."""
    command = ["make", "--dry-run", "--no-print-directory", target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" not in done.stdout


def test_make_alone_prints_help() -> None:
    """`make` without a target prints every target with what it is for."""
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("make ")}
    assert listed == set(TARGETS)


@pytest.mark.parametrize("requirement", _requirements(), ids=str)
def test_lock_is_in_step(requirement: Requirement) -> None:
    """The lock holds everything that pyproject.toml asks for, within its bounds."""
    version = _locked().get(canonicalize_name(requirement.name))
    assert version is not None, "not in requirements.lock: run `make lock`"
    assert requirement.specifier.contains(version), "out of step: run `make lock`"


@pytest.mark.parametrize("requirement", _requirements(), ids=str)
def test_dependencies_are_compatible_releases(requirement: Requirement) -> None:
    """Each dependency is pinned by `~=`, so that a new major release is a decision."""
    assert [s.operator for s in requirement.specifier] == ["~="]


def test_lock_has_hashes_and_names_no_host() -> None:
    """Each locked package has a hash, and none says where it must come from."""
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(entries) == len(_locked())
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)


def test_changelog_has_the_current_version() -> None:
    """The version of pyproject.toml has a section in the change log, the newest one."""
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert newest is not None
    assert newest.group(1) == project["version"]


def test_ci_runs_make_test() -> None:
    """CI runs what a developer runs."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^make test\b", script.read_text(), re.MULTILINE)


@pytest.mark.parametrize("decision", DECISIONS, ids=_name)
def test_decision_has_its_parts(decision: Path) -> None:
    """A decision states its number, its context, the decision and its consequences."""
    text = decision.read_text()
    assert re.match(rf"# {decision.name[:4]}[ .:]", text)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]


def test_decision_numbers_are_unique() -> None:
    """No two decisions share a number."""
    names = [path.name for path in DECISIONS]
    assert all(re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name) for name in names)
    assert len({name[:4] for name in names}) == len(names) > 0


def test_packages_are_told_why() -> None:
    """Each Debian package that the bootstrap may install has a level and a reason."""
    lines = (ROOT / "tools" / "packages.txt").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if line[:1] != "#"]
    assert rows
    assert all(len(row) == 4 and all(row) for row in rows)
    assert {row[0] for row in rows} <= {"demo", "test", "test-all"}
