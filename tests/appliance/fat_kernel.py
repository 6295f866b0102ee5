"""A kernel with FAT and ext4 of its own: User Mode Linux of Debian, one process that boots in 2 s.

The machine that tests run on may have no FAT, and its own page cache can't be lost; this
one's can: `cut` in a script ends it as a power cut does. It sees the layer as its root
(hostfs), the card's two partitions as images beside it, and no network. x86-64 only.
"""

import fcntl
import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.appliance.layers import Layer
from tests.appliance.machine import in_layer
from tests.appliance.root import CACHE, SUITE

PACKAGES = ("user-mode-linux", "dosfstools", "e2fsprogs", "libext2fs2t64", "libcom-err2", "libss2")
_MODULES = ("fat", "vfat", "nls_ascii", "nls_cp437", "nls_iso8859-1", "nls_utf8")
_WANTED = (
    *("linux.uml", "mkfs.fat", "fsck.fat", "mke2fs", "mke2fs.conf"),
    *("libext2fs.so*", "libe2p.so*", "libcom_err.so*", "libss.so*"),
    *(f"{module}.ko" for module in _MODULES),
)
FOLDER = "/srv/card"
POWER_OFF = 0x4321FEDC
"""What reboot(2) takes to end at once, with nothing synced."""
_MB = 1 << 20
_INIT = f"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 LD_LIBRARY_PATH={FOLDER}/kernel
mount -t proc proc /proc; mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp; mkdir /run/boot /run/root
for module in {" ".join(_MODULES)}; do
    insmod {FOLDER}/kernel/$module.ko
done
format() {{
    {FOLDER}/kernel/mkfs.fat -F 32 -s 1 -n BOOTFS /dev/ubda
    MKE2FS_CONFIG={FOLDER}/kernel/mke2fs.conf {FOLDER}/kernel/mke2fs -q -t ext4 /dev/ubdb
}} >/dev/null 2>&1
# As fstab.txt has it.
insert() {{
    mount -t vfat -o noatime,umask=0077,"${{1:-rw}}" /dev/ubda /run/boot &&
        mount -t ext4 -o noatime,lazytime,commit=600 /dev/ubdb /run/root
}}
eject() {{ umount /run/root /run/boot; }}
check() {{ {FOLDER}/kernel/fsck.fat -a /dev/ubda; }}
first_boot() {{ "${{AGENT:-linewatch-agent}}" first-boot --boot /run/boot --root /run/root "$@"; }}
cut() {{ python3 -c 'import ctypes; ctypes.CDLL(None).reboot({POWER_OFF})'; }}
. {FOLDER}/script >{FOLDER}/said 2>&1
echo "ended with $?" >{FOLDER}/ended
poweroff -f
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a script printed, and whether it came to its end (a cut keeps it from that)."""

    said: str
    whole: bool


def install_kernel(layer: Layer, *, boot_mb: int = 40, root_mb: int = 24) -> None:
    """Put the kernel, and an empty card of two partitions, into a layer."""
    layer.copy(_kernel(), f"{FOLDER}/kernel")
    layer.put(f"{FOLDER}/init", _INIT, mode=0o755)
    for name, size_mb in (("boot", boot_mb), ("root", root_mb)):
        with layer.put(f"{FOLDER}/{name}.img", b"").open("r+b") as image:
            image.truncate(size_mb * _MB)


def run(layer: Layer, script: str, *, timeout_s: float = 240) -> Ended:
    """Boot the kernel, run a shell script with _INIT's functions as root, and end.

    Raises:
        RuntimeError: it did not boot; the text has its last words.
    """
    for name in ("said", "ended"):
        (layer.path / FOLDER.lstrip("/") / name).unlink(missing_ok=True)
    layer.put(f"{FOLDER}/script", script)
    images = f"ubda={FOLDER}/boot.img ubdb={FOLDER}/root.img"
    kernel = f"exec {FOLDER}/kernel/linux.uml mem=256M rootfstype=hostfs rw {images} \
        init={FOLDER}/init con=null con0=fd:0,fd:1 </dev/null 2>&1"
    console = in_layer(layer, "sh", "-c", f"TMPDIR=/tmp {kernel}", check=False, timeout_s=timeout_s)
    folder = layer.path / FOLDER.lstrip("/")
    if not (folder / "said").exists():
        raise RuntimeError(f"cannot boot the kernel with FAT: {console[-2000:]}")
    return Ended((folder / "said").read_text(errors="replace"), (folder / "ended").exists())


def _kernel() -> Path:
    """Return the folder of the kernel, its modules and mkfs, downloaded once.

    Raises:
        RuntimeError: mmdebstrap failed.
    """
    key = hashlib.sha256(repr((SUITE, PACKAGES, _WANTED)).encode()).hexdigest()[:12]
    folder = CACHE / f"uml-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "uml.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    whole = folder.with_name(f"{folder.name}.whole")
    new = folder.with_name(f"{folder.name}.new")
    for old in (whole, new):
        shutil.rmtree(old, ignore_errors=True)
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract"]
    command += [f"--include={','.join(PACKAGES)}", SUITE, str(whole)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"cannot fetch a kernel with FAT: {done.stderr.strip()[-2000:]}")
    new.mkdir()
    for pattern in _WANTED:
        for path in whole.rglob(pattern):
            shutil.copy2(path, new / path.name)
    shutil.rmtree(whole)
    new.rename(folder)
