"""seed-card: one card or two hundred, each with a token of its own, whatever stops it."""

import csv
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from datetime import UTC, datetime
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

from linewatch_agent.first_boot import first_boot
from linewatch_agent.plan.card import read_card
from linewatch_agent.plan.settings import Config
from linewatch_core.enrolment import decode_token
from tests.appliance.root import ROOT
from tests.support.broker import init_server
from tests.support.card import card_folders, token_text

SEED_CARD = ROOT / "firmware-config/seed-card"
CONFIG = 'apn = "internet"\n[targets]\nsets = ["global", "kz"]\n'
KILLED = """
import os, signal, sys
left = int(sys.argv[1])
for name in ("fsync", "rename", "open"):
    def trapped(*arguments, original=getattr(os, name), **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    setattr(os, name, trapped)
path = sys.argv[2]
sys.argv = sys.argv[2:]
exec(compile(open(path).read(), path, "exec"))
"""
"""Runs a script, killed right before its n-th change of a file."""


def seed(*arguments: object, said: str | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SEED_CARD), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, input=said, check=False)


def _tokens(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(1, count + 1):
        (folder / f"probe-{number:03}.toml").write_text(token_text(number))
    return folder


def _cards(folder: Path, count: int) -> list[Path]:
    """Make boot partitions as the image has them."""
    cards = [folder / f"card-{number}" for number in range(count)]
    for card in cards:
        card.mkdir(parents=True)
        (card / "config.txt").write_text("[all]\n")
        (card / "cmdline.txt").write_text("console=tty1\n")
    return cards


def _on(card: Path) -> str | None:
    path = card / "linewatch-token.toml"
    return decode_token(path.read_text()).token if path.exists() else None


def _ledger(tokens: Path) -> list[dict[str, str]]:
    with (tokens / "seeded.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_hundred_cards(tmp_path: Path) -> None:
    """Each card has its own token and the same configuration; the ledger names them all."""
    tokens, cards = _tokens(tmp_path / "tokens", 200), _cards(tmp_path / "cards", 200)
    config = tmp_path / "fleet.toml"
    config.write_text(CONFIG)
    done = seed("write", "--tokens", tokens, "--config", config, "--boot", *cards)
    assert done.returncode == 0, done.stderr
    assert len({_on(card) for card in cards} - {None}) == 200
    assert all((card / "linewatch.toml").read_text() == CONFIG for card in cards)
    rows = _ledger(tokens)
    assert [row["card"] for row in rows] == [str(n) for n in range(1, 201)]
    assert {row["state"] for row in rows} == {"written"}
    table = seed("table", "--ledger", tokens / "seeded.csv").stdout
    assert "200 written, 0 begun." in table
    assert all(row["probe"] in table for row in rows)


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    """Cards that are done are left, and no further token is used."""
    tokens, cards = _tokens(tmp_path / "tokens", 5), _cards(tmp_path / "cards", 3)
    seed("write", "--tokens", tokens, "--boot", *cards)
    before = {card: (card / "linewatch-token.toml").stat().st_mtime_ns for card in cards}
    done = seed("write", "--tokens", tokens, "--boot", *cards)
    assert done.returncode == 0
    assert done.stdout.count("already") == 3
    assert before == {card: (card / "linewatch-token.toml").stat().st_mtime_ns for card in cards}
    assert len(_ledger(tokens)) == 3


def test_no_token_is_written_twice_though_it_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before each of its writes in turn and started again: every card is done once."""
    loader = SourceFileLoader("seed_card", str(SEED_CARD))
    module = module_from_spec(spec_from_loader("seed_card", loader) or ModuleSpec("", None))
    sys.modules["seed_card"] = module
    loader.exec_module(module)
    count, killed = 0, True
    while killed:
        count += 1
        here = tmp_path / str(count)
        here.mkdir()
        tokens, cards = _tokens(here / "tokens", 4), _cards(here / "cards", 2)
        arguments = ["write", "--tokens", str(tokens), "--boot", *map(str, cards)]
        command = [sys.executable, "-c", KILLED, str(count), str(SEED_CARD), *arguments]
        killed = subprocess.run(command, capture_output=True, check=False).returncode != 0
        assert module.main(arguments) == 0
        written = [_on(card) for card in cards]
        assert None not in written
        assert len(set(written)) == 2
        told = Counter(row["token"] for row in _ledger(tokens))
        assert max(told.values()) == 1
        assert set(written) <= {
            row["token"] for row in _ledger(tokens) if row["state"] == "written"
        }
        # At most the one that was begun is in doubt, and the table says so.
        doubted = [row for row in _ledger(tokens) if row["state"] == "begun"]
        assert len(doubted) <= 1
        module.main(["table", "--ledger", str(tokens / "seeded.csv")])
        table = capsys.readouterr().out
        assert all(f"revoke --probe {row['probe']}" in table for row in doubted)
        shutil.rmtree(here)
    assert count > 10


def test_two_at_once_share_no_token(tmp_path: Path) -> None:
    """Two people who seed from the same folder at once never take the same token."""
    tokens, cards = _tokens(tmp_path / "tokens", 40), _cards(tmp_path / "cards", 40)
    command = [sys.executable, str(SEED_CARD), "write", "--tokens", str(tokens), "--boot"]
    halves = [subprocess.Popen([*command, *map(str, cards[n::2])]) for n in (0, 1)]
    assert [half.wait() for half in halves] == [0, 0]
    assert len({_on(card) for card in cards}) == 40


def test_card_after_card_in_one_reader(tmp_path: Path) -> None:
    """With --ask the cards come one after the other at the same place, until `q`."""
    tokens, [card] = _tokens(tmp_path / "tokens", 2), _cards(tmp_path / "cards", 1)
    done = seed("write", "--tokens", tokens, "--boot", card, "--ask", said="\nq\n")
    assert done.returncode == 0
    assert "is card 1 already" in done.stdout
    assert "1 written, 0 begun." in done.stdout


def test_tokens_in_one_file(tmp_path: Path) -> None:
    """The output of several `enrol` in one file is as good as a folder."""
    several = tmp_path / "all.toml"
    several.write_text("".join(token_text(n) for n in (1, 2, 3)))
    cards = _cards(tmp_path / "cards", 3)
    assert seed("write", "--tokens", several, "--boot", *cards).returncode == 0
    assert [_on(card) for card in cards] == [decode_token(token_text(n)).token for n in (1, 2, 3)]


def test_tokens_from_the_server(tmp_path: Path) -> None:
    """The server's own command makes the tokens; started again it makes only what is missing."""
    server = init_server(tmp_path / "server").directory
    folder = tmp_path / "tokens"
    enrol = f"{sys.executable} -m linewatch_server enrol {server}"
    arguments = ("tokens", "--enrol", enrol, "--into", folder, "--name", "almaty")
    assert seed(*arguments, "--count", 1).returncode == 0
    first = (folder / "almaty-001.toml").read_text()
    done = seed(*arguments, "--count", 2)
    assert "1 tokens made, 1 were there already" in done.stdout
    assert (folder / "almaty-001.toml").read_text() == first
    assert (folder / "almaty-001.toml").stat().st_mode & 0o777 == 0o600
    known = [decode_token(path.read_text()).probe for path in sorted(folder.glob("*.toml"))]
    assert len(set(known)) == 2


def test_a_server_that_refuses_is_told(tmp_path: Path) -> None:
    """What the server says is passed on, and no file is left of it."""
    command = f"{sys.executable} -m linewatch_server enrol {tmp_path}/none"
    done = seed("tokens", "--enrol", command, "--count", 1, "--into", tmp_path / "t")
    assert done.returncode == 1
    assert "cannot make" in done.stderr
    assert "linewatch-server:" in done.stderr
    assert not list((tmp_path / "t").iterdir())


def test_first_boot_takes_what_it_writes(tmp_path: Path) -> None:
    """A seeded card makes a probe, with nothing left to tell."""
    config = tmp_path / "fleet.toml"
    config.write_text(CONFIG)
    with card_folders() as card:
        for name in ("config.txt", "cmdline.txt"):
            card.put(name, "")
        tokens = _tokens(tmp_path / "tokens", 1)
        done = seed("write", "--tokens", tokens, "--config", config, "--boot", card.boot)
        assert done.returncode == 0, done.stderr
        assert not first_boot(card.boot, card.root).problems
        assert card.identity.is_dir()
        assert _on(card.boot) is None


def test_the_example_is_right() -> None:
    """Copied as it is it changes nothing; each of its lines is right once its `#` is gone."""
    text = (ROOT / "firmware-config/boot/linewatch-example.toml").read_text()
    assert tomllib.loads(text) == {}
    above, _, rest = text.partition("#[[sim]]")
    for part in (above, f"#[[sim]]{rest}"):
        lines = [line.removeprefix("#") for line in part.splitlines() if line[:2] != "# "]
        card = read_card("\n".join(lines).encode(), name="linewatch.toml")
        assert card.sims
    assert card.config == Config()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda top: (top / "cards/card-0/config.txt").unlink(), "there is no config.txt"),
        (lambda top: (top / "tokens/probe-001.toml").unlink(), "cannot find a token in"),
        (
            lambda top: (top / "tokens/probe-001.toml").write_text(token_text(1)[:900]),
            "token probe-001: it is damaged",
        ),
        (
            lambda top: (top / "tokens/probe-001.toml").write_text(
                token_text(1, expires=datetime(2020, 1, 1, tzinfo=UTC))
            ),
            "no token is left: of 1 given, 0 are used and 1 have expired",
        ),
        (
            lambda top: (top / "cards/card-0/linewatch-token.toml").write_text(token_text(9)),
            "which is not in",
        ),
        (lambda top: (top / "fleet.toml").write_text(token_text(1)), "it holds a token"),
        (lambda top: (top / "fleet.toml").write_text("a = "), "cannot use"),
        (lambda top: (top / "tokens/seeded.csv").write_text("a,b\n1,2\n"), "is not a ledger"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, spoil: object, told: str) -> None:
    """Nothing is written where something is wrong, and one line says what."""
    _tokens(tmp_path / "tokens", 1)
    [card] = _cards(tmp_path / "cards", 1)
    (tmp_path / "fleet.toml").write_text(CONFIG)
    assert callable(spoil)
    spoil(tmp_path)
    before = sorted(os.listdir(card))
    options = ("--tokens", tmp_path / "tokens", "--config", tmp_path / "fleet.toml")
    done = seed("write", *options, "--boot", card)
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(os.listdir(card)) == before
