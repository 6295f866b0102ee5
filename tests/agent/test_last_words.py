"""What the postmortem keeps of a bad end, and what the next agent makes of it."""

import importlib.machinery
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from linewatch_agent.last_words import FILE, read_last_words

PROGRAM = Path(__file__).parents[2] / "systemd/bin/linewatch-postmortem"
INVOCATION = "0123456789abcdef0123456789abcdef"
WATCHDOG = {
    "MONITOR_SERVICE_RESULT": "watchdog",
    "MONITOR_EXIT_CODE": "dumped",
    "MONITOR_EXIT_STATUS": "ABRT",
    "MONITOR_INVOCATION_ID": INVOCATION,
    "MONITOR_UNIT": "linewatch-agent.service",
}
SHOWN = (
    "NRestarts=3\nMemoryPeak=[not set]\n"
    "StatusText=measures 2 lines; 9 records wait for the server; 41 MB of memory\n"
)


@pytest.fixture
def postmortem(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, for an agent that the watchdog ended."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("postmortem", str(PROGRAM))
    spec = importlib.util.spec_from_loader("postmortem", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    for name, value in WATCHDOG.items():
        monkeypatch.setenv(name, value)
    return module


def journal(postmortem: ModuleType, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Let the journal have said that, and systemctl what it shows."""
    answers = {"systemctl": SHOWN, "journalctl": said}
    monkeypatch.setattr(postmortem, "ask", lambda program, *_: answers[program])


def test_the_next_agent_reads_how_the_last_one_ended(
    postmortem: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Result, signal, restarts, memory and last errors come through the file."""
    journal(postmortem, monkeypatch, "Fatal Python error: Aborted\n")
    assert postmortem.main([str(tmp_path / FILE)]) == 0
    last = read_last_words(tmp_path)
    assert last is not None
    assert (last.count, last.result, last.code, last.status) == (1, "watchdog", "dumped", "ABRT")
    assert (last.restarts, last.memory_peak_bytes, last.memory_mb) == (3, None, 41)
    assert last.lines == ("Fatal Python error: Aborted",)
    assert last.in_words() == (
        "it did its work no longer, and the watchdog ended it (dumped ABRT); "
        "so far the agent of this card ended badly once"
    )


def test_bad_ends_are_counted(
    postmortem: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each one adds to what the file before it said; a damaged file begins anew."""
    journal(postmortem, monkeypatch, "")
    monkeypatch.setattr(postmortem, "AGAIN_S", 0)
    file = tmp_path / FILE
    for _ in range(3):
        postmortem.main([str(file)])
    assert json.loads(file.read_bytes())["count"] == 3
    file.write_bytes(b'{"count": "many"')
    postmortem.main([str(file)])
    assert json.loads(file.read_bytes())["count"] == 1


def test_a_crash_loop_does_not_wear_the_card_out(
    postmortem: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Soon after the first the file stays; later the ends between are counted too."""
    journal(postmortem, monkeypatch, "the first one")
    now = {"s": 1000.0}
    monkeypatch.setattr(postmortem.time, "clock_gettime", lambda _: now["s"])
    file = tmp_path / FILE
    postmortem.main([str(file)])
    first = file.read_bytes()
    now["s"] += postmortem.AGAIN_S - 1
    journal(postmortem, monkeypatch, "another one")
    postmortem.main([str(file)])
    assert file.read_bytes() == first
    now["s"] += 1
    monkeypatch.setattr(postmortem, "ask", lambda *_: SHOWN.replace("=3", "=45"))
    postmortem.main([str(file)])
    assert json.loads(file.read_bytes())["count"] == 1 + 42


def test_the_card_tells_no_verdict_no_time_and_no_address(
    postmortem: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ordinary lines of the log stay out, what may identify is struck out, the file is of 1970."""
    said = [
        "level=info event=line_verdict_changed line=mobile-1 after=dark",
        "level=warning event=uplink_lost line=fixed-1",
        'level=error event=work_hangs problem="the next round is 33 s late"',
        "OSError: cannot reach 192.0.2.77 or 2001:db8::17 (02:00:5e:10:00:01) at 14:31:07",
        "KeyError: 'b3f0a1c2d4e5f60718293a4b5c6d7e8f' 4871234",
    ]
    journal(postmortem, monkeypatch, "\n".join(said))
    file = tmp_path / FILE
    postmortem.main([str(file)])
    kept = file.read_text()
    for secret in ("dark", "uplink_lost", "192.0.2", "db8", "5e:10", "14:31", "b3f0", "4871234"):
        assert secret not in kept
    assert "the next round is 33 s late" in kept
    assert "OSError: cannot reach […]" in kept
    assert "wait for the server" not in kept
    assert file.stat().st_mtime == 0
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_file_stays_small_whatever_the_agent_said(
    postmortem: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Long lines are cut, old ones go first; the last one is always there."""
    journal(postmortem, monkeypatch, "\n".join(f"{n} " + "ü" * 5000 for n in range(500)))
    file = tmp_path / FILE
    postmortem.main([str(file)])
    assert file.stat().st_size <= postmortem.FILE_BYTES_MAX
    assert json.loads(file.read_bytes())["lines"][-1].startswith("499 ")
    assert read_last_words(tmp_path) is not None


def test_without_systemds_word_nothing_is_kept(
    postmortem: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Run by hand it writes nothing: there was no bad end."""
    monkeypatch.delenv("MONITOR_SERVICE_RESULT")
    assert postmortem.main([str(tmp_path / FILE)]) == 0
    assert not (tmp_path / FILE).exists()


def test_a_program_that_is_not_there_says_nothing(postmortem: ModuleType) -> None:
    """No journalctl, or one that fails: the rest is kept all the same."""
    assert postmortem.ask("/nowhere/journalctl") == ""
    assert postmortem.messages("not an id; rm -rf") == []


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"count":-1,"result":"x"}', b"\xff\xfe"])
def test_bad_bytes_are_as_good_as_no_file(tmp_path: Path, data: bytes) -> None:
    """A damaged file must not keep the agent from starting."""
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_bytes(data)
    assert read_last_words(tmp_path) is None
