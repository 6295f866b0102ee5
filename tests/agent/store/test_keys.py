"""Signing keys: rotated, chained, erased, and usable after a power cut at any step."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from linewatch_agent.store.database import StoreError
from linewatch_agent.store.keys import KEYS_FILE, ROTATE_AFTER_MS, SigningKeys
from linewatch_core.errors import LinewatchError
from linewatch_core.ids import BootId
from linewatch_core.segment.keychain import parse_certificates, verify_key_chain
from linewatch_core.segment.signing import SigningKey
from tests.support.probe import NEXT_BOOT
from tests.support.segments import BOOT, PROBE, derived_bytes

ROOT_SEED = derived_bytes("root seed")


def seed(number: int) -> Callable[[], bytes]:
    """Return what draws the seed of that number."""
    return lambda: derived_bytes(f"seed {number}")


def never() -> bytes:
    """Stand for a seed that must not be asked for."""
    raise AssertionError("no seed is due")


def open_keys(folder: Path, *, boot: BootId = BOOT, now_ms: int = 0) -> SigningKeys:
    """Open keys whose root is always the same."""
    return SigningKeys.open(
        folder, probe=PROBE, first_seed=lambda: ROOT_SEED, boot=boot, now_ms=now_ms
    )


def all_bytes(folder: Path) -> bytes:
    """Return what is in all files of a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_the_first_key_is_the_enrolled_one(tmp_path: Path) -> None:
    """Its seed is asked for once, and is there at the next start."""
    first = open_keys(tmp_path)
    again = SigningKeys.open(tmp_path, probe=PROBE, first_seed=never, boot=BOOT, now_ms=5)
    assert first.current.public == again.current.public == SigningKey(ROOT_SEED).public
    assert again.certificates == []
    assert again.messages_after(None) == []
    assert (tmp_path / KEYS_FILE).stat().st_mode & 0o077 == 0


def test_a_key_lasts_a_boot_and_at_most_a_day(tmp_path: Path) -> None:
    """A restart of the agent keeps it; a reboot or 24 h replace it."""
    keys = open_keys(tmp_path, now_ms=1_000)
    assert not keys.rotate_if_due(boot=BOOT, now_ms=1_000 + ROTATE_AFTER_MS - 1, seed=never)
    assert keys.rotate_if_due(boot=BOOT, now_ms=1_000 + ROTATE_AFTER_MS, seed=seed(1))
    assert not keys.rotate_if_due(boot=BOOT, now_ms=1_000 + ROTATE_AFTER_MS, seed=never)
    assert keys.rotate_if_due(boot=NEXT_BOOT, now_ms=3, seed=seed(2))
    assert keys.current.public == SigningKey(seed(2)()).public


def test_rotations_chain_from_the_root(tmp_path: Path) -> None:
    """A server that knows only the enrolled key comes to trust each later one, in messages."""
    keys = open_keys(tmp_path)
    for number in range(1, 601):
        keys.rotate_if_due(boot=BOOT, now_ms=number * ROTATE_AFTER_MS, seed=seed(number))
    again = open_keys(tmp_path)
    root = SigningKey(ROOT_SEED).public
    messages = again.messages_after(None)
    assert [len(message) // 146 for message in messages] == [256, 256, 88]
    certificates = [c for message in messages for c in parse_certificates(message)]
    assert list(verify_key_chain(root, certificates, probe=PROBE))[-1] == again.current.id
    known = SigningKey(seed(598)()).id
    assert [c.position for c in again.certificates_after(known)] == [599, 600]
    assert again.messages_after(again.current.id) == []
    assert len(again.certificates_after("ab" * 8)) == 600


def test_an_old_seed_is_in_no_file(tmp_path: Path) -> None:
    """After a rotation its bytes are gone, also from the file that was replaced."""
    keys = open_keys(tmp_path)
    assert ROOT_SEED in all_bytes(tmp_path)
    with (tmp_path / KEYS_FILE).open("rb") as replaced:
        keys.rotate_if_due(boot=NEXT_BOOT, now_ms=0, seed=seed(1))
        assert set(replaced.read()) == {0}
    assert ROOT_SEED not in all_bytes(tmp_path)
    assert seed(1)() in all_bytes(tmp_path)
    keys.rotate_if_due(boot=BOOT, now_ms=0, seed=seed(2))
    assert seed(1)() not in all_bytes(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [KEYS_FILE]


@pytest.mark.parametrize("step", range(8))
def test_a_power_cut_at_each_step_leaves_a_usable_key(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever step it comes at: the next start has the old key or the new, with its chain."""
    keys = open_keys(tmp_path)
    done = 0

    class Cut(BaseException):
        pass

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def cut_or_call(*args: object, **options: object) -> object:
            nonlocal done
            done += 1
            if done > step:
                raise Cut
            return call(*args, **options)

        return cut_or_call

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", counted(os.fsync))
        patch.setattr(os, "open", counted(os.open))
        patch.setattr(Path, "rename", counted(Path.rename))
        try:
            keys.rotate_if_due(boot=NEXT_BOOT, now_ms=0, seed=seed(1))
            cut = False
        except Cut:
            cut = True
    assert cut is (step < 6)
    again = open_keys(tmp_path, boot=NEXT_BOOT)
    assert again.current.public in {SigningKey(ROOT_SEED).public, SigningKey(seed(1)()).public}
    again.rotate_if_due(boot=BOOT, now_ms=ROTATE_AFTER_MS, seed=seed(2))
    root = SigningKey(ROOT_SEED).public
    trusted = verify_key_chain(root, again.certificates, probe=PROBE)
    assert list(trusted)[-1] == again.current.id == SigningKey(seed(2)()).id
    assert ROOT_SEED not in all_bytes(tmp_path)
    assert seed(1)() not in all_bytes(tmp_path)


@pytest.mark.parametrize("failing", ["fsync", "open"])
def test_on_a_full_disk_the_old_key_goes_on(
    tmp_path: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key signs that is not on the disk; the next call tries again."""
    keys = open_keys(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, full)
        assert not keys.rotate_if_due(boot=NEXT_BOOT, now_ms=0, seed=seed(1))
    assert keys.current.public == SigningKey(ROOT_SEED).public
    assert keys.certificates == []
    assert open_keys(tmp_path).current.public == keys.current.public
    assert keys.rotate_if_due(boot=NEXT_BOOT, now_ms=0, seed=seed(2))


def test_another_fault_of_the_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line; the key is unchanged."""
    keys = open_keys(tmp_path)

    def read_only(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(StoreError, match="the file system is read-only"):
        keys.rotate_if_due(boot=NEXT_BOOT, now_ms=0, seed=seed(1))
    assert keys.current.public == SigningKey(ROOT_SEED).public


def test_a_damaged_file_of_keys_is_told(tmp_path: Path) -> None:
    """Cut anywhere, or something else: one line says to enrol again; nothing is overwritten."""
    keys = open_keys(tmp_path)
    keys.rotate_if_due(boot=NEXT_BOOT, now_ms=0, seed=seed(1))
    whole = (tmp_path / KEYS_FILE).read_bytes()
    noise = [b"", b"\x00" * len(whole), b"key", whole + b"\x00"]
    for data in [whole[:length] for length in range(len(whole))] + noise:
        (tmp_path / KEYS_FILE).write_bytes(data)
        with pytest.raises(LinewatchError, match=r"^cannot read \S+: it is damaged; enrol this"):
            open_keys(tmp_path)
        assert (tmp_path / KEYS_FILE).read_bytes() == data
