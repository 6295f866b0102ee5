"""firmware-config/apply.sh on a Debian root: twice, on what it must refuse, and booted."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.layers import Layer, layer
from tests.appliance.machine import Machine, booted, in_layer
from tests.appliance.root import ROOT, base_root

FIRMWARE = ROOT / "firmware-config"
CONFIG = "dtparam=audio=on\n[cm4]\notg_mode=1"
CMDLINE = "console=tty1 root=PARTUUID=1a2b-02 rootfstype=ext4 resize\n"
PI_CLOUD = """datasource_list: [ NoCloud, None ]
datasource:
  NoCloud:
    seedfrom: file:///boot/firmware
ssh_deletekeys: false
ssh_genkeytypes: []
"""
"""What Raspberry Pi OS has in /etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg."""
FSTAB = """proc /proc proc defaults 0 0
PARTUUID=1a2b-01  /boot/firmware  vfat  defaults          0  2
PARTUUID=1a2b-02  /               ext4  defaults,noatime  0  1
"""


def apply(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run apply.sh."""
    command = [str(FIRMWARE / "apply.sh"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def put_pi_files(root: Layer) -> None:
    """Put there what Raspberry Pi OS has and Debian lacks."""
    root.put("/boot/firmware/config.txt", CONFIG)
    root.put("/boot/firmware/cmdline.txt", CMDLINE)
    root.put("/boot/firmware/user-data", "#cloud-config\n# all is commented out\n\n#hostname: x\n")
    root.put("/etc/rpi-issue", "Raspberry Pi reference\n")
    root.put("/etc/fstab", FSTAB)
    root.put("/etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg", PI_CLOUD)


@pytest.fixture(scope="module")
def applied() -> Iterator[Layer]:
    """Return a Pi's root after apply.sh; tests only read it, or lay a layer over it."""
    with layer() as root:
        put_pi_files(root)
        done = apply("--root", root.path)
        assert done.returncode == 0, done.stderr
        yield root


def _tree(top: Path) -> dict[str, tuple[int, float, bytes]]:
    """Return every file and link below a folder: mode, time and content."""
    found = {}
    for part in ("etc", "boot"):
        for path in (top / part).rglob("*"):
            status = path.lstat()
            data = b""
            if path.is_symlink():
                data = str(path.readlink()).encode()
            elif path.is_file():
                data = path.read_bytes()
            found[str(path)] = (status.st_mode, status.st_mtime, data)
    return found


def test_a_second_run_changes_nothing(applied: Layer) -> None:
    """Neither a byte, a mode nor a time of change differs after the second run."""
    before = _tree(applied.path)
    done = apply("--root", applied.path)
    assert done.returncode == 0
    assert "all as it was" in done.stdout
    assert _tree(applied.path) == before


def test_it_says_what_it_does(applied: Layer) -> None:
    """Every file that it puts somewhere is said once, and nothing is missing afterwards."""
    with layer() as root:
        put_pi_files(root)
        said = apply("--root", root.path).stdout
    for row in apply("--list").stdout.splitlines():
        _, place, *mode = row.split("|")
        if mode:
            assert said.count(f"/{place}\n") == 1, place
            assert any((applied.path / top / place).is_file() for top in ("", "boot/firmware"))


def test_boot_files_are_merged(applied: Layer) -> None:
    """The Pi's own settings stay; ours come last, on one line of the kernel's."""
    boot = applied.path / "boot/firmware"
    config = (boot / "config.txt").read_text()
    assert config.startswith(f"{CONFIG}\n# linewatch: begin")
    ours = [line for line in config.splitlines() if not line.startswith("#")]
    assert ours.index("[all]") < ours.index("kernel_watchdog_timeout=60")
    # The firmware cuts longer lines off.
    assert max(map(len, config.splitlines())) <= 98
    assert (boot / "cmdline.txt").read_text() == f"{CMDLINE.strip()} cgroup_enable=memory\n"


def test_a_newer_section_replaces_the_older(tmp_path: Path) -> None:
    """After an update of this folder the section of config.txt is there once, and new."""
    with layer() as root:
        put_pi_files(root)
        apply("--root", root.path)
        config = root.path / "boot/firmware/config.txt"
        wanted = config.read_text()
        config.write_text(wanted.replace("timeout=60", "timeout=15") + "over_voltage=0\n")
        apply("--root", root.path)
        again = config.read_text()
    assert again.count("linewatch: begin") == 1
    assert "timeout=60" in again
    assert "over_voltage=0" in again


def test_fstab(applied: Layer) -> None:
    """The root loses fewer writes, only root reads the token's partition, logs are in memory."""
    table = [line.split() for line in (applied.path / "etc/fstab").read_text().splitlines()]
    options = {row[1]: row[3].split(",") for row in table}
    assert options["/"] == ["defaults", "noatime", "lazytime", "commit=600"]
    assert "umask=0077" in options["/boot/firmware"]
    assert {"/var/log", "/var/lib/NetworkManager"} <= {row[1] for row in table if row[2] == "tmpfs"}
    checked = in_layer(applied, "findmnt", "--verify", "--tab-file", "/etc/fstab", check=False)
    # A layer has no partitions; nothing else is wrong.
    wrong = [line for line in checked.splitlines() if "[E]" in line or "[W]" in line]
    assert len(wrong) == 2
    assert all("unreachable on boot required source" in line for line in wrong)


def test_what_a_person_set_up_stays(applied: Layer) -> None:
    """Imager's own user-data, and a unit that somebody replaced, are left and told."""
    own = "#cloud-config\nhostname: kitchen\n"
    with layer() as root:
        put_pi_files(root)
        root.put("/boot/firmware/user-data", own)
        root.put("/etc/systemd/system/man-db.timer", "[Timer]\nOnCalendar=yearly\n")
        said = apply("--root", root.path).stdout
        assert (root.path / "boot/firmware/user-data").read_text() == own
        assert not (root.path / "etc/systemd/system/man-db.timer").is_symlink()
    assert "user-data is somebody's own" in said
    assert "man-db.timer is somebody's own" in said


@pytest.mark.parametrize(
    ("release", "told"),
    [
        (None, "holds no system"),
        ("ID=fedora\nVERSION_ID=42\n", "'fedora', not Raspberry Pi OS or Debian"),
        ('ID=debian\nVERSION_ID="11"\n', "release '11' of it; 12 (Bookworm) or 13"),
        ('ID=debian\nVERSION_ID="13"\n', "without systemd"),
    ],
)
def test_what_it_refuses(tmp_path: Path, release: str | None, told: str) -> None:
    """What is no such system is told in one line, and stays as it is."""
    if release is not None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/os-release").write_text(release)
    before = sorted(tmp_path.rglob("*"))
    done = apply("--root", tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_pi_without_its_boot_partition_is_refused() -> None:
    """An image whose first partition was forgotten is no half-done probe."""
    with layer() as root:
        root.put("/etc/rpi-issue", "Raspberry Pi reference\n")
        done = apply("--root", root.path)
    assert done.returncode == 1
    assert "is the image's first partition mounted there?" in done.stderr


def test_packages_exist_and_are_not_missed(applied: Layer) -> None:
    """Every package of packages.txt is one of Trixie's, and its absence is told."""
    assert "missing" not in apply("--root", applied.path).stdout
    with layer(over=applied) as root:
        in_layer(root, "dpkg", "--purge", "--force-depends", "mobile-broadband-provider-info")
        said = apply("--root", root.path).stdout
    assert "missing  packages: mobile-broadband-provider-info (apply.sh --install" in said


def test_an_installation_that_fails_is_told() -> None:
    """Without a network `--install` ends before anything is changed, and says so."""
    with layer() as root:
        in_layer(root, "dpkg", "--purge", "--force-depends", "mobile-broadband-provider-info")
        root.put("/etc/apt/apt.conf.d/99-once", 'Acquire::Retries "0";\n')
        command = ["unshare", "--net", str(FIRMWARE / "apply.sh"), "--root", str(root.path)]
        done = subprocess.run([*command, "--install"], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "apt-get failed (its words are above); is there a network" in done.stderr
        assert "changed" not in done.stdout


def test_on_a_running_system() -> None:
    """On a probe itself, with no options, it does the same, and only once."""
    with layer() as root:
        put_pi_files(root)
        root.put("/etc/fstab", "tmpfs /tmp tmpfs defaults 0 0\n")
        root.copy(FIRMWARE, "/srv/firmware-config")
        with booted(root) as running:
            first = running.run("/srv/firmware-config/apply.sh")
            again = running.run("/srv/firmware-config/apply.sh")
    assert "changed  /etc/systemd/journald.conf.d/99-linewatch.conf\n" in first
    assert "left out etc/fstab has no line for /" in first
    assert "all as it was" in again


def test_masks(applied: Layer) -> None:
    """Every unit of masks.txt is kept from starting; each has its reason."""
    rows = [r for r in (FIRMWARE / "masks.txt").read_text().splitlines() if r[0] != "#"]
    assert {row.split("|")[0].strip() for row in rows} >= {"apt-daily.timer", "avahi-daemon.socket"}
    for row in rows:
        unit, why = (cell.strip() for cell in row.split("|"))
        assert why
        state = in_layer(applied, "systemctl", "is-enabled", unit, check=False)
        assert state.strip() == "masked", unit


@pytest.mark.parametrize(
    ("name", "kind"), [("user-data", "cloud-config"), ("network-config", "network-config")]
)
def test_cloud_init_knows_every_key(applied: Layer, name: str, kind: str) -> None:
    """Trixie's cloud-init finds no fault with the file, and installs nothing on its word."""
    path = f"/boot/firmware/{name}"
    said = in_layer(applied, "cloud-init", "schema", "-t", kind, "-c", path)
    assert f"Valid schema {path}" in said
    assert "packages:" not in (FIRMWARE / "cloud-init" / name).read_text().replace(
        "`packages:`", ""
    )


@pytest.fixture(scope="module")
def machine(applied: Layer) -> Iterator[Machine]:
    """Return such a root, booted with cloud-init as on a Pi's first start, with no network."""
    with layer(over=applied) as root:
        (root.path / "etc/cloud/cloud-init.disabled").unlink()
        rows = (root.path / "etc/fstab").read_text().splitlines(keepends=True)
        # A layer has no partitions.
        root.put("/etc/fstab", "".join(row for row in rows if not row.startswith("PARTUUID")))
        with booted(root) as running:
            running.run("cloud-init", "status", "--wait", check=False)
            yield running


@pytest.mark.parametrize(
    ("name", "program", "prefix"),
    [
        ("journald", "usr/lib/systemd/systemd-journald", "Journal."),
        ("timesyncd", "usr/lib/systemd/systemd-timesyncd", "Time."),
        ("system", "usr/lib/systemd/systemd", ""),
    ],
)
def test_the_program_knows_every_setting(name: str, program: str, prefix: str) -> None:
    """Each setting of a drop-in is in the table that its program is built with.

    systemd only logs a key that it does not know, and before there is a journal.
    """
    known = (base_root() / program).read_bytes()
    rows = (FIRMWARE / f"etc/{name}.conf").read_text().splitlines()
    keys = [row.split("=")[0] for row in rows if "=" in row and row[0] != "#"]
    assert keys
    for key in keys:
        assert f"{prefix}{key}\0".encode() in known, key
        assert f"{prefix}{key}x\0".encode() not in known


def test_cloud_init_takes_its_files(machine: Machine) -> None:
    """cloud-init finds them, takes no login, and renders IPv6 for NetworkManager."""
    status = machine.run("cloud-init", "status", "--long", check=False)
    assert "status: done" in status
    assert "errors: []" in status
    assert "[dsmode=local]" in status
    assert machine.run("cat", "/run/cloud-init/.instance-id").strip() == "linewatch-probe"
    profile = machine.run(
        "cat", "/run/NetworkManager/system-connections/netplan-all-wired.nmconnection"
    )
    assert "[ipv6]\nmethod=auto" in profile
    assert ":1000:" not in machine.run("getent", "passwd"), "an account was made"


def test_no_log_reaches_the_card(machine: Machine) -> None:
    """What tells of addresses and times is in memory: nothing of it is in the root's files."""
    assert "/run/log/journal" in machine.run("journalctl", "--header")
    for folder in ("/var/log", "/var/lib/NetworkManager"):
        assert machine.run("findmnt", "-n", "-o", "FSTYPE", folder).strip() == "tmpfs"
        below = machine.layer.folder / "upper" / folder.lstrip("/")
        assert not [path for path in below.rglob("*") if path.is_file()]


def test_cloud_inits_log_is_beside_no_other(machine: Machine) -> None:
    """It lists the machine's addresses, so it is in memory even where /var/log is not."""
    for name in ("cloud-init.log", "cloud-init-output.log"):
        machine.run("test", "-e", f"/run/cloud-init/{name}")
    assert machine.run("sh", "-c", "ls /var/log | grep cloud-init; true") == ""


def test_the_journal_stays_in_memory_wherever_it_could_go(machine: Machine) -> None:
    """With a folder for it, journald would write there; ours has it told not to."""
    machine.run("mkdir", "-p", "/var/log/journal")
    try:
        machine.run("systemctl", "restart", "systemd-journald")
        machine.run("journalctl", "--flush")
        machine.run("logger", "a line")
        machine.run("journalctl", "--sync")
        assert machine.run("find", "/var/log/journal", "-type", "f") == ""
    finally:
        machine.run("rm", "-r", "/var/log/journal")


def test_managers_settings(machine: Machine) -> None:
    """systemd restarts itself after a crash and after a hang of the shutdown."""
    shown = machine.run("systemctl", "show", "-p", "RebootWatchdogUSec")
    assert shown.strip() == "RebootWatchdogUSec=2min"
    text = machine.run("systemd-analyze", "cat-config", "systemd/system.conf")
    assert "CrashReboot=yes" in text
    assert (
        "RuntimeWatchdogSec="
        not in (FIRMWARE / "etc/system.conf").read_text().split("[Manager]")[1]
    )


def test_time_settings(machine: Machine) -> None:
    """timesyncd knows each of its settings."""
    text = machine.run("systemd-analyze", "cat-config", "systemd/timesyncd.conf")
    assert "SaveIntervalSec=10min" in text
    assert "/etc/systemd/timesyncd.conf.d/99-linewatch.conf" in text


def test_profiles_are_loaded(machine: Machine) -> None:
    """NetworkManager has every profile, ours before cloud-init's."""
    rows = machine.run("nmcli", "-t", "-f", "NAME,TYPE,AUTOCONNECT-PRIORITY", "con", "show")
    found = {tuple(row.split(":")) for row in rows.splitlines()}
    assert {
        ("linewatch-fixed", "802-3-ethernet", "10"),
        ("linewatch-usb", "802-3-ethernet", "5"),
        ("linewatch-mobile", "gsm", "-10"),
        ("netplan-all-wired", "802-3-ethernet", "0"),
    } <= found
