"""First boot on a real card: the kernel's own FAT and ext4, and what people and power do to them.

Everything else about the card's files is in tests/agent/test_first_boot.py, on an ordinary
folder; the kernel that tests run on may have no FAT (fat_kernel.py).
"""

import platform
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from linewatch_core.enrolment import decode_token
from tests.appliance.altered import alter
from tests.appliance.fat_kernel import FOLDER, POWER_OFF, install_kernel, run
from tests.appliance.layers import Layer, layer
from tests.appliance.release import install_agent
from tests.support.card import token_text
from tests.support.killed_writes import WRITES

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64",
    reason="User Mode Linux is for x86-64 alone",
)

CONFIG = 'apn = "internet"\n\n[budget]\nmonth_mb = 50\n'
CRLF = CONFIG.replace("\n", "\r\n")
TOKEN = token_text()
IN_FILE = f'token = """\n{TOKEN}"""\n{CONFIG}'
SECRET = decode_token(TOKEN).key.splitlines()[1]
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(200)
CARDS: dict[str, dict[str, str | bytes]] = {
    "shouting": {"LINEWATCH.TOML": CRLF, "LINEWATCH-TOKEN.TOML": TOKEN},
    "notepad": {
        "Linewatch.toml.txt": b"\xef\xbb\xbf" + CRLF.encode(),
        "linewatch-token.toml.TXT": b"\xef\xbb\xbf" + TOKEN.replace("\n", "\r\n").encode(),
        "System Volume Information/IndexerVolumeGuid": "{0}".encode("utf-16"),
    },
    "old-notepad": {
        "linewatch.txt": CRLF.encode("utf-16"),
        "linewatch-token.txt": TOKEN.encode("utf-16"),
        "$RECYCLE.BIN/desktop.ini": "[.ShellClassInfo]\r\n",
    },
    "mac": {
        "linewatch.toml": CONFIG,
        "._linewatch.toml": APPLE_DOUBLE,
        "linewatch-token.toml": TOKEN,
        "._linewatch-token.toml": APPLE_DOUBLE,
        ".DS_Store": b"\0\0\0\1Bud1",
        ".Spotlight-V100/Store": "x",
    },
    "one-file": {"linewatch.toml": IN_FILE},
    "downloaded-twice": {"linewatch (1).toml": CONFIG, "linewatch-token(2).toml": TOKEN},
    "other-names": {
        "linewatch.toml": CONFIG,
        "linewatch-token.toml": TOKEN,
        "Без имени.txt": "x",
        "linewatch-example.toml": "# linewatch-problem.txt tells\n",
        ".linewatch.toml.swp": b"b0VIM 9.0\0",
        "linewatch.toml~": "apn = 'old'\n",
    },
}
"""What people's computers leave on a card; each must make a probe with nothing to tell."""
CUT = f"""
import ctypes, os, signal
left = int(os.environ["CUT_AT"])
# A process of root's own: the agent becomes another user on its way.
ears, voice = os.pipe()
if os.fork() == 0:
    os.close(voice)
    if os.read(ears, 1):
        ctypes.CDLL(None).reboot({POWER_OFF})
    os._exit(0)

def trap(name):
    original = getattr(os, name)
    def trapped(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.write(voice, b"!")
            signal.pause()
        return original(*arguments, **options)
    setattr(os, name, trapped)

for name in {WRITES!r}:
    trap(name)
"""
"""The power goes right before the agent's CUT_AT-th write, and what was not synced with it."""
PREPARE = """
prepare() {
    format && insert && mkdir -p /run/root/etc /run/root/var/lib &&
        cp /etc/passwd /run/root/etc/ && cp -r "$1/." /run/boot && eject
}
keep() { mkdir -p "$1" && cp -r /run/boot "$1/boot" && cp -r /run/root "$1/root"; }
"""


@pytest.fixture(scope="module")
def installed() -> Iterator[Layer]:
    """The package, the kernel and an empty card."""
    with layer() as made:
        install_agent(made)
        install_kernel(made)
        yield made


@pytest.fixture
def card(installed: Layer) -> Iterator[Layer]:
    """A card for one test."""
    with layer(over=installed) as made:
        yield made


def give(made: Layer, files: dict[str, str | bytes], *, name: str = "card") -> None:
    """Put there what a script copies on the card."""
    for file, data in files.items():
        made.put(f"/srv/given/{name}/{file}", data)


def seen(made: Layer, name: str = "card") -> Path:
    """Return where a script left what was on the card: `boot` and `root`."""
    return made.path / "srv/seen" / name


def assert_taken_in(found: Path) -> None:
    """Assert that configuration, SIM card and token ended right, with nothing to tell."""
    assert not (found / "boot/linewatch-problem.txt").exists()
    assert "month_mb = 50" in (found / "root/etc/linewatch/linewatch.toml").read_text()
    profiles = found / "root/etc/NetworkManager/system-connections"
    assert "apn=internet" in (profiles / "linewatch-sim-1.nmconnection").read_text()
    assert (found / "root/var/lib/linewatch/identity/identity.json").exists()


def test_whatever_computer_wrote_the_card(card: Layer) -> None:
    """Names in any case and with any ending, any line ends and encoding, and what a system adds.

    Nothing of the token's key is left on the partition, not even where its file lay.
    """
    for name, files in CARDS.items():
        give(card, files, name=name)
    script = f"""{PREPARE}
    for given in /srv/given/*; do
        name=${{given##*/}}
        prepare "$given"; insert; first_boot >/tmp/said 2>&1 || cat /tmp/said; echo "$name $?"
        keep "/srv/seen/$name"; eject; check >/dev/null || echo "$name is not clean"
        grep -q '{SECRET}' /dev/ubda && echo "$name keeps the key"
    done; true"""
    ended = run(card, script)
    assert ended.said.splitlines() == [f"{name} 0" for name in sorted(CARDS)]
    for name in CARDS:
        assert_taken_in(seen(card, name))


def test_a_card_that_was_pulled_out(card: Layer) -> None:
    """Its FAT says that it was not unmounted: it is taken in all the same."""
    give(card, {"linewatch.toml": IN_FILE})
    assert not run(card, f"{PREPARE} prepare /srv/given/card; insert; sync; cut").whole
    ended = run(
        card,
        f"{PREPARE} insert; dmesg | grep -c 'not properly unmounted'; first_boot; "
        "keep /srv/seen/card; eject",
    )
    assert ended.said.startswith("1\n")
    assert_taken_in(seen(card))


@pytest.mark.slow
def test_a_full_card(card: Layer) -> None:
    """Not one cluster is free: the probe joins, and no file is lost or left half.

    A token in a file of its own goes all the same; one inside linewatch.toml can't be taken
    out, which is told, and it goes once there is room.
    """
    give(card, {"linewatch.toml": IN_FILE}, name="inside")
    give(card, {"linewatch.toml": CONFIG, "linewatch-token.toml": TOKEN}, name="beside")
    fill = (
        "for size in 1M 512; do cat /dev/zero | dd of=/run/boot/film.$size bs=$size; done 2>/tmp/x"
    )
    script = f"""{PREPARE}
    for name in inside beside; do
        prepare /srv/given/$name; insert; {fill}; sync; df /run/boot | tail -1
        first_boot; echo "$name $?"; keep /srv/seen/$name
        rm /run/boot/film.*; first_boot; echo "$name with room $?"; keep /srv/seen/$name-later
        eject
    done"""
    said = run(card, script).said
    assert said.count(" 0 100% /run/boot") == 2, said
    assert "inside 1" in said
    assert "cannot write linewatch.toml on the card: it is full; delete what is not its" in said
    assert (seen(card, "inside") / "boot/linewatch.toml").read_text() == IN_FILE
    assert (seen(card, "inside") / "root/var/lib/linewatch/identity/identity.json").exists()
    assert not [*seen(card, "inside").glob("boot/*.new")]
    assert "beside 0" in said
    for name in ("inside-later", "beside", "beside-later"):
        assert_taken_in(seen(card, name))


@pytest.mark.slow
def test_a_card_with_a_damaged_file(card: Layer) -> None:
    """A broken chain makes the kernel mount it read-only: the journal tells, the check mends it.

    After that, as at the next start, the card itself tells. The probe has joined by then.
    """
    files: dict[str, str | bytes] = {"linewatch.toml": CONFIG + "#" * 2000}
    give(card, {**files, "linewatch-token.toml": TOKEN})
    assert run(card, f"{PREPARE} prepare /srv/given/card").whole
    cut_chain(card.path / FOLDER.lstrip("/") / "boot.img", b"LINEWA~1TOM")
    first = run(card, f"{PREPARE} insert; first_boot; grep boot /proc/mounts; eject").said
    assert "cannot read linewatch.toml: " in first
    assert "cannot write linewatch-problem.txt on the card: Read-only file system" in first
    assert "/run/boot vfat ro," in first
    run(card, f"{PREPARE} check; insert; first_boot; keep /srv/seen/card; eject")
    found = seen(card)
    assert "linewatch.toml" in (found / "boot/linewatch-problem.txt").read_text("utf-8-sig")
    assert (found / "root/var/lib/linewatch/identity/identity.json").exists()


def cut_chain(image: Path, short_name: bytes) -> None:
    """Say in both FATs that a file's first cluster is free (Microsoft's FAT specification)."""
    with image.open("r+b") as file:
        sector = file.read(512)
        word = partial(int.from_bytes, byteorder="little")
        reserved, fat_sectors = word(sector[14:16]), word(sector[36:40])
        file.seek(512 * (reserved + 2 * fat_sectors))
        folder = file.read(64 * 512)
        entry = folder[folder.index(short_name) :][:32]
        cluster = word(entry[20:22]) << 16 | word(entry[26:28])
        for fat in range(2):
            file.seek(512 * (reserved + fat * fat_sectors) + 4 * cluster)
            file.write(bytes(4))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["inside", "beside"])
def test_a_power_cut_before_any_write(card: Layer, where: str) -> None:
    """The power goes before each write in turn, with what was not synced; the next start mends it.

    At no moment is the token on neither partition.
    """
    beside: dict[str, str | bytes] = {"linewatch.toml": CONFIG, "linewatch-token.toml": TOKEN}
    give(card, {"linewatch.toml": IN_FILE} if where == "inside" else beside)
    assert run(card, f"{PREPARE} prepare /srv/given/card").whole
    agent = alter(card, CUT)
    folder = card.path / FOLDER.lstrip("/")
    for name in ("boot", "root"):
        (folder / f"{name}.img").rename(folder / f"{name}.ready")
    count, whole = 0, False
    while not whole:
        count += 1
        for name in ("boot", "root"):
            ready, image = folder / f"{name}.ready", folder / f"{name}.img"
            subprocess.run(["cp", "--sparse=always", ready, image], check=True)
        whole = run(card, f"insert; AGENT={agent} CUT_AT={count} first_boot; eject").whole
        script = f"{PREPARE} check >/dev/null; insert; first_boot; echo $?; keep /srv/seen/{count}"
        ended = run(card, f"{script}; eject")
        assert ended.said.splitlines()[-1:] == ["0"], (count, ended.said)
        assert_taken_in(seen(card, str(count)))
        assert SECRET not in (seen(card, str(count)) / "boot/linewatch.toml").read_text()
        shutil.rmtree(seen(card, str(count)))
    assert count > 20
