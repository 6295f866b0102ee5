"""First boot: what a person put on the card ends where it belongs, whatever happens."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from linewatch_agent.__main__ import main
from linewatch_agent.card import files
from linewatch_agent.card.report import Report
from linewatch_agent.first_boot import first_boot
from linewatch_agent.identity.identity import load_identity
from linewatch_agent.plan.config import load_config
from linewatch_core.enrolment import decode_token
from tests.support.card import AGENT_UID, CardFolders, card_folders, token_text

CONFIG = 'apn = "internet"\npin = "0123"\n\n[budget]\nmonth_mb = 50\n'
SECRET = decode_token(token_text()).key.splitlines()[1]


@pytest.fixture
def card() -> Iterator[CardFolders]:
    """Return the folders of an empty card."""
    with card_folders() as folders:
        yield folders


def _boot(card: CardFolders) -> Report:
    return first_boot(card.boot, card.root)


def _assert_taken_in(card: CardFolders, *, number: int = 1) -> None:
    """Assert that all of CONFIG and the token ended right, and nothing is left to tell."""
    config = load_config(card.config.read_bytes(), name="x")
    assert config.budget.month_mb == 50
    [profile] = card.profiles.iterdir()
    assert "apn=internet" in profile.read_text()
    assert profile.stat().st_mode & 0o777 == 0o600
    identity = load_identity(card.identity.parent)
    assert identity.probe == decode_token(token_text(number)).probe
    assert not card.problem.exists()
    for path in card.boot.iterdir():
        assert SECRET not in path.read_text(), path


def test_two_files(card: CardFolders) -> None:
    """Configuration and token beside each other: all in its place, the token off the card."""
    card.put("linewatch.toml", CONFIG)
    card.put("linewatch-token.toml", token_text())
    report = _boot(card)
    assert not report.problems
    _assert_taken_in(card)
    assert [path.name for path in card.boot.iterdir()] == ["linewatch.toml"]
    assert (card.boot / "linewatch.toml").read_text() == CONFIG


def test_one_file(card: CardFolders) -> None:
    """The token inside the configuration: it alone leaves the card."""
    card.put("Linewatch.TOML", f'token = """\n{token_text()}"""\n' + CONFIG)
    assert not _boot(card).problems
    _assert_taken_in(card)
    left = (card.boot / "Linewatch.TOML").read_text()
    assert tomllib.loads(left) == tomllib.loads(CONFIG)


def test_identity_is_the_agents(card: CardFolders) -> None:
    """The identity belongs to the agent's user and to nobody else."""
    card.put("linewatch-token.toml", token_text())
    _boot(card)
    wanted = AGENT_UID if os.getuid() == 0 else os.getuid()
    for path in (card.identity.parent, card.identity, *card.identity.iterdir()):
        assert path.stat().st_uid == wanted
        assert path.stat().st_mode & 0o077 == 0


def test_the_second_boot_changes_nothing(card: CardFolders) -> None:
    """What was taken in is not taken in again, also when it was changed on the probe since."""
    card.put("linewatch.toml", CONFIG)
    card.put("linewatch-token.toml", token_text())
    _boot(card)
    card.config.write_text("[budget]\nmonth_mb = 60\n")
    before = card.tree()
    report = _boot(card)
    assert card.tree() == before
    assert report == Report()


def test_a_corrected_file_is_taken_in(card: CardFolders) -> None:
    """A mistake is told on the card; the corrected file works, and the telling ends."""
    card.put("linewatch-token.toml", token_text())
    card.put("linewatch.toml", CONFIG.replace("month_mb", "month_kb"))
    assert len(_boot(card).problems) == 1
    told = card.problem.read_text("utf-8-sig")
    assert "linewatch.toml, line 5: budget.month_kb: there is no such key" in told
    assert not card.config.exists()
    assert card.identity.exists(), "a misspelt key keeps nobody from joining"
    card.put("linewatch.toml", CONFIG)
    assert not _boot(card).problems
    _assert_taken_in(card)


def test_a_changed_file_replaces_what_was(card: CardFolders) -> None:
    """Profiles of SIM cards that are no longer in the file go away; others' profiles stay."""
    card.put("linewatch-token.toml", token_text())
    card.put("linewatch.toml", "[[sim]]\noperator = '40101'\n[[sim]]\napn = 'b'\n")
    _boot(card)
    (card.profiles / "home.nmconnection").write_text("a person's own")
    card.put("linewatch.toml", "apn = 'c'\n")
    _boot(card)
    assert sorted(path.name for path in card.profiles.iterdir()) == [
        "home.nmconnection",
        "linewatch-sim-1.nmconnection",
    ]


def test_a_wrong_file_leaves_the_last_right_one(card: CardFolders) -> None:
    """A card that was spoilt later doesn't spoil a probe that measures."""
    card.put("linewatch-token.toml", token_text())
    card.put("linewatch.toml", CONFIG)
    _boot(card)
    before = card.config.read_bytes()
    card.put("linewatch.toml", b"\xff\xfe\x00")
    assert len(_boot(card).problems) == 1
    assert card.config.read_bytes() == before


def test_targets_beside_the_file(card: CardFolders) -> None:
    """A set of targets on the card goes with the configuration that names it."""
    card.put("linewatch-token.toml", token_text())
    card.put("linewatch.toml", "[targets]\nsets = ['own.toml']\n")
    [problem] = _boot(card).problems
    assert "own.toml: can't be read: No such file" in problem
    card.put(
        "own.toml",
        "[[target]]\nid = 'a'\nrole = 'domestic'\nhost = 'a.example'\nchecks = ['icmp']\n",
    )
    report = _boot(card)
    assert not report.problems
    assert (card.config.parent / "own.toml").exists()


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "there is no token on this card; ask"),
        ({"linewatch.toml": "apn = 'a'"}, "there is no token on this card; ask"),
        ({"linewatch.toml": "apm = 'a'"}, "there is no token on this card; ask"),
        ({"linewatch.toml": "apm = 'a'"}, "there is no such key; did you mean apn?"),
        ({"linewatch-token.toml": "hello"}, "not an enrolment token"),
        ({"linewatch-token.toml": token_text()[:-200]}, "is damaged"),
        ({"linewatch.toml": "token = 't-aaaaaaaaaaaaaaaa'"}, "not an enrolment token"),
        ({"linewatch.toml": "apn = internet"}, 'text in straight quotes: apn = "internet"'),
        ({"linewatch.toml": "", "linewatch.txt": ""}, "leave one of them on the card"),
        ({"linewatch-token.toml": "", "token.toml": ""}, "leave one of them on the card"),
        ({"linewatch-token.toml": b"\xff"}, "expected UTF-8 text"),
        ({"linewatch.toml": b""}, "cannot use linewatch.toml: it is empty; copy it again"),
        ({"linewatch.toml": bytes(512)}, "cannot use linewatch.toml: it is empty; copy it again"),
        ({"linewatch.toml.rtf": b"{\\rtf1"}, "cannot use linewatch.toml.rtf: it is a formatted"),
        (
            {"Linewatch-Token (2).docx": b"PK"},
            "save it as plain text, with a name that ends in .toml",
        ),
        ({"linewatch.toml": "", "linewatch (1).toml": ""}, "leave one of them on the card"),
        (
            {"linewatch-token.toml": token_text(expires=datetime(2020, 1, 2, tzinfo=UTC))},
            "the token expired on 2020-01-02",
        ),
    ],
)
def test_what_is_wrong_is_told_on_the_card(
    card: CardFolders, files: dict[str, str], told: str
) -> None:
    """Each bad input gets a sentence on the card that says what to do, and stays there."""
    for name, text in files.items():
        card.put(name, text)
    report = _boot(card)
    assert told in "\n".join(report.problems)
    text = card.problem.read_text("utf-8-sig")
    assert told in text
    assert all(word in text for word in ("problem", "проблему", "ақау", "праблему", "ပြဿနာ"))
    for name, given in files.items():
        assert (card.boot / name).read_bytes() == (
            given.encode() if isinstance(given, str) else given
        )
    before = card.tree()
    assert _boot(card).problems == report.problems
    assert card.tree() == before


def test_a_right_token_wins_over_a_wrong_one(card: CardFolders) -> None:
    """Something that is no token in one file keeps nobody from joining by the other."""
    card.put("linewatch.toml", "token = 'as we agreed'\n")
    card.put("linewatch-token.toml", token_text())
    [problem] = _boot(card).problems
    assert "linewatch.toml: not an enrolment token" in problem
    assert card.identity.exists()
    assert not (card.boot / "linewatch-token.toml").exists()
    assert "agreed" in (card.boot / "linewatch.toml").read_text()


def test_another_probes_token_is_kept(card: CardFolders) -> None:
    """A token for another probe is neither used nor lost, and the probe stays who it is."""
    card.put("linewatch-token.toml", token_text(1))
    _boot(card)
    card.put("linewatch-token.toml", token_text(2))
    [problem] = _boot(card).problems
    assert "already and the token is for another" in problem
    assert (card.boot / "linewatch-token.toml").read_text() == token_text(2)
    assert load_identity(card.identity.parent).probe == decode_token(token_text(1)).probe


def test_a_removal_that_was_cut_off_is_finished(card: CardFolders) -> None:
    """A token file of zeros, as a power cut during its removal leaves it, is no problem."""
    card.put("linewatch-token.toml", token_text())
    _boot(card)
    card.put("linewatch-token.toml", bytes(3000))
    assert not _boot(card).problems
    assert not (card.boot / "linewatch-token.toml").exists()


def test_the_command_tells_and_fails(card: CardFolders, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says what was done, and what wasn't on standard error, as its exit code does."""
    arguments = ["first-boot", "--boot", str(card.boot), "--root", str(card.root)]
    try:
        assert main(arguments) == 1
        assert "there is no token on this card" in capsys.readouterr().err
        card.put("linewatch-token.toml", token_text())
        assert main(arguments) == 0
        assert "This computer is probe" in capsys.readouterr().out
    finally:
        structlog.reset_defaults()


def test_without_the_package(card: CardFolders) -> None:
    """Without the agent's user nothing is enrolled, and the card says what is missing."""
    card.put("linewatch-token.toml", token_text())
    (card.root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    [problem] = _boot(card).problems
    assert "install the package linewatch" in problem
    assert (card.boot / "linewatch-token.toml").exists()


def test_a_machine_without_a_card(card: CardFolders) -> None:
    """An ordinary computer has no such partition, and nothing is wrong with that."""
    assert not first_boot(card.boot / "none", card.root).problems


def test_an_empty_file_changes_nothing(card: CardFolders) -> None:
    """What a power cut leaves of a file that was being copied takes no setting away."""
    card.put("linewatch.toml", CONFIG)
    card.put("linewatch-token.toml", token_text())
    _boot(card)
    before = card.config.read_bytes()
    card.put("linewatch.toml", b"")
    assert len(_boot(card).problems) == 1
    assert card.config.read_bytes() == before
    assert len(list(card.profiles.iterdir())) == 1


def test_what_a_full_card_has_no_room_for(
    card: CardFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told in words of its own, and what was begun is taken away again."""

    def begin(path: Path, data: bytes, *, mode: int) -> None:
        path.with_name(f"{path.name}.new").write_bytes(data[:10])
        raise OSError(28, "No space left on device")

    card.put("linewatch.toml", f'token = """\n{token_text()}"""\n{CONFIG}')
    monkeypatch.setattr(files, "write_whole", begin)
    report = _boot(card)
    assert (
        "linewatch.toml on the card: it is full; delete what is not its own" in report.problems[0]
    )
    assert card.identity.exists()
    assert [path.name for path in card.boot.iterdir()] == ["linewatch.toml"]


def test_a_card_that_cannot_be_written(card: CardFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked card is told, where it can be; the probe has joined all the same."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    card.put("linewatch-token.toml", token_text())
    monkeypatch.setattr(files, "sync_folder", refuse)
    monkeypatch.setattr(files, "write_whole", refuse)
    monkeypatch.setattr(os, "pwrite", refuse)
    report = _boot(card)
    assert "the card may be worn out or locked" in report.problems[0]
    assert card.identity.exists()


@pytest.mark.parametrize("one_file", [True, False])
def test_a_power_cut_before_any_write(card: CardFolders, one_file: bool) -> None:
    """Killed before each of its writes in turn, the next boot ends right, and no token is lost."""
    token = f'token = """\n{token_text()}"""\n' if one_file else ""
    card.put("linewatch.toml", token + CONFIG)
    if not one_file:
        card.put("linewatch-token.toml", token_text())
    cut = card.boot.parent.parent / f"{card.boot.parent.name}-cut"
    try:
        cut.mkdir()
        command = [sys.executable, "-m", "tests.support.killed_writes", str(card.boot.parent)]
        subprocess.run([*command, str(cut)], cwd=Path(__file__).parents[2], check=True)
        copies = [CardFolders(path / "boot", path / "root") for path in cut.iterdir()]
        assert len(copies) > 20
        for copy in copies:
            on_card = any(SECRET in path.read_text() for path in copy.boot.iterdir())
            assert on_card or copy.identity.is_dir()
            assert not _boot(copy).problems
            _assert_taken_in(copy)
    finally:
        shutil.rmtree(cut)
