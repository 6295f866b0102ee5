"""The command `linewatch`: a Citizen Lab list in, a target set out, and what is wrong with one."""

import tomllib
from pathlib import Path

import pytest

from linewatch_agent.targets import bundled_names, load_target_set
from linewatch_agent.targets_command import main

LIST = """\
url,category_code,category_description,date_added,source,notes
https://one.example/,NEWS,News Media,2014-04-15,citizenlab,
http://two.example/a,HUMR,Human Rights Issues,2014-04-15,citizenlab,"x, y"
https://me:secret@three.example/,NEWS,News Media,2014-04-15,citizenlab,
https://four.example/,CTRL,Control content,2014-04-15,citizenlab,
"""


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    """Return a list on the disk."""
    path = tmp_path / "kz.csv"
    path.write_text(LIST)
    return path


def test_a_list_becomes_a_set_that_is_right(
    csv_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was imported, what it costs and what was left out are told; the set loads."""
    out = tmp_path / "own.toml"
    assert main(["targets", "import", str(csv_file), "--country", "kz", "--out", str(out)]) == 0
    assert capsys.readouterr().out == (
        f"{out}: 3 targets (1 CTRL, 1 HUMR, 1 NEWS)\n"
        "  up to 6 MB a line a month on IPv4, a round every 30 s\n"
        "  left out: 1 row whose URL holds a name or password\n"
    )
    made = load_target_set(str(out), Path())
    assert [each.id for each in made.target] == [
        "kz-one.example",
        "kz-two.example",
        "kz-four.example",
    ]
    assert made.source.startswith("kz.csv, a test list in the format of github.com/citizenlab")
    assert main(["targets", "check", str(out)]) == 0
    assert "is right: 3 targets (2 sensitive, 1 neutral)\n" in capsys.readouterr().out


def test_options_narrow_what_is_imported(csv_file: Path, tmp_path: Path) -> None:
    """Categories in any case, a number of targets, how seldom they are measured."""
    out = tmp_path / "own.toml"
    narrowed = ["--category", "humr", "--category", "CTRL", "--max", "1", "--every", "60"]
    arguments = ["targets", "import", str(csv_file), "--country", "kz", "--out", str(out)]
    assert main(arguments + narrowed) == 0
    (target,) = load_target_set(str(out), Path()).target
    assert (target.host, target.category, target.every) == ("two.example", "HUMR", 60)


def test_a_file_is_not_written_over_by_mistake(
    csv_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A set that somebody edited stays, unless it is meant."""
    out = tmp_path / "own.toml"
    out.write_text("# mine\n")
    arguments = ["targets", "import", str(csv_file), "--country", "kz", "--out", str(out)]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert told == f"linewatch: cannot use {out}: it exists: choose another name, or add --force\n"
    assert out.read_text() == "# mine\n"
    assert main([*arguments, "--force"]) == 0
    assert len(load_target_set(str(out), Path()).target) == 3


def test_what_cannot_be_read_or_written_is_one_line(
    csv_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing list, a folder that is not there, a list that is none: nothing is written."""
    out = tmp_path / "own.toml"
    rest = ["--country", "kz", "--out"]
    for source, into, words in (
        (tmp_path / "none.csv", out, "can't be read: No such file or directory"),
        (csv_file, tmp_path / "no" / "own.toml", "can't be written: No such file or directory"),
        (tmp_path, out, "can't be read: Is a directory"),
        (Path("a\0b"), out, "can't be read: not a path"),
    ):
        assert main(["targets", "import", str(source), *rest, str(into)]) == 1
        told = capsys.readouterr().err
        assert words in told
        assert told.startswith("linewatch: cannot use ")
        assert told.count("\n") == 1
    csv_file.write_text("hello\n")
    assert main(["targets", "import", str(csv_file), *rest, str(out)]) == 1
    assert "url is missing" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("number", ["0", "501", "-1", "x", "1e9", "9" * 5000])
def test_a_number_out_of_range_is_told(
    csv_file: Path, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As argparse tells wrong arguments: usage, and what was expected."""
    arguments = ["targets", "import", str(csv_file), "--country", "kz", "--out", "x"]
    with pytest.raises(SystemExit) as caught:
        main([*arguments, f"--max={number}"])
    assert caught.value.code == 2
    assert "expected a whole number from 1 to 500, found" in capsys.readouterr().err


def test_check_tells_a_wrong_set_from_a_poor_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong one is an error with its line; a poor one is right, with notes."""
    path = tmp_path / "own.toml"
    text = "[[target]]\nid = 'a'\nrole = 'domestic'\nhost = 'a.example'\nchecks = ['tcp']\n"
    path.write_text(text + "evry = 3\n")
    assert main(["targets", "check", str(path)]) == 1
    assert "own.toml, line 6: target[0].evry: there is no such key; did you mean every?" in (
        capsys.readouterr().err
    )
    path.write_text(text)
    assert main(["targets", "check", str(path)]) == 0
    told = capsys.readouterr().out
    assert "is right: 1 target (1 domestic)\n  up to 26 MB a line a month" in told
    assert "  note: 1 domestic host: a verdict needs 5 in at least 3 networks\n" in told


@pytest.mark.parametrize("name", bundled_names())
def test_bundled_sets_are_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is checked by its name, without a note."""
    assert main(["targets", "check", name]) == 0
    assert "note" not in capsys.readouterr().out


def test_the_command_is_installed() -> None:
    """pyproject.toml names it as a console script."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert tomllib.loads(text)["project"]["scripts"]["linewatch"] == (
        "linewatch_agent.targets_command:main"
    )
