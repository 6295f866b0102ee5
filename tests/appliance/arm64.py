"""A Debian root and a release for aarch64, and programs of them run here by qemu-user.

Nothing is registered with this machine's kernel (binfmt_misc): qemu is named in each
command, so a program can't start another one. All mounts are in a namespace that ends with
the command, which has a network of its own. The root is made once, as in root.py, and
never written to. Byte code is compiled by this machine's own Python of the same release,
or every import would take minutes.
"""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.appliance.package import EPOCH
from tests.appliance.root import CACHE, SUITE, base_root
from tools.deb.__main__ import CACHE as WHEELS
from tools.deb.__main__ import PROJECT
from tools.deb.tree import make_tree
from tools.deb.wheels import Target, fetch

VERSION = "0.1.0"
TARGET = Target("aarch64", "3.13")
RELEASE = f"opt/linewatch/releases/{VERSION}"
AGENT = f"/{RELEASE}/bin/linewatch-agent"
_QEMU = "qemu-aarch64-static"
_INCLUDED = ("base-files", "ca-certificates", "libc6", "python3", "zlib1g")
_TOOLS = {"mmdebstrap": "mmdebstrap", _QEMU: "qemu-user-static", "unshare": "util-linux"}

_COMPILE = """
mount -t tmpfs tmpfs "$1/mnt"; mkdir "$1/mnt/arm"; mount --bind "$2" "$1/mnt/arm"
exec chroot "$1" /usr/bin/python3 -m compileall -q -j 0 -x "test/|idlelib" -s /mnt/arm "/mnt/arm$3"
"""
"""$1: this machine's own root; $2: the other's, whose folder $3 is compiled."""

_RUN = """
root=$1 release=$2 state=$3; shift 3
mount -t tmpfs tmpfs "$root/mnt"; mkdir "$root/mnt/upper" "$root/mnt/work" "$root/mnt/all"
all=$root/mnt/all
mount -t overlay overlay -o "lowerdir=$root,upperdir=$root/mnt/upper,workdir=$root/mnt/work" "$all"
mkdir -p "$all/RELEASE" "$all/var/lib/linewatch"
mount --bind "$release" "$all/RELEASE"; mount --bind "$state" "$all/var/lib/linewatch"
mount -t proc proc "$all/proc"; mount --rbind /dev "$all/dev"
cp "$(command -v QEMU)" "$all/usr/bin/"
ip link set lo up; sysctl -q -w net.ipv4.ping_group_range="0 2147483647"
exec chroot "$all" /usr/bin/QEMU /usr/bin/python3 -ISB "$@"
""".replace("RELEASE", RELEASE).replace("QEMU", _QEMU)


def command(release: Path, state: Path, *program: str) -> list[str]:
    """Return the command line that runs a Python program of aarch64 to its end.

    Args:
        release: a release's folder, seen at /opt/linewatch/releases/VERSION.
        state: seen at /var/lib/linewatch.
        program: the file and its arguments, as paths of that root.
    """
    alone = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"]
    shell = [*alone, "--propagation", "private", "sh", "-euc", _RUN, "sh"]
    return [*shell, str(arm_root()), str(release), str(state), *program]


def arm_root() -> Path:
    """Return the folder of Trixie's Python for aarch64, made if it is not there yet.

    Raises:
        RuntimeError: a tool is missing, or mmdebstrap failed; the text says what to do.
    """
    for tool, package in _TOOLS.items():
        if shutil.which(tool) is None:
            raise RuntimeError(f"cannot run aarch64: no `{tool}`; apt-get install {package}")
    key = hashlib.sha256(repr((SUITE, _INCLUDED, _COMPILE)).encode()).hexdigest()[:12]
    root, native = CACHE / f"arm64-{key}", base_root()
    with (CACHE / "arm64.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            for old in CACHE.glob("arm64-*"):
                shutil.rmtree(old)
            new = root.with_name("arm64.new")
            shutil.rmtree(new, ignore_errors=True)
            make = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract"]
            make += ["--architectures=arm64", f"--include={','.join(_INCLUDED)}", SUITE, str(new)]
            _run(make, "it needs root and, once, a Debian mirror")
            (new / "mnt").mkdir(exist_ok=True)
            _compile(native, new, "/usr/lib/python3.13")
            new.rename(root)
    return root


def arm_release(folder: Path) -> Path:
    """Make this checkout's release for aarch64 in a folder, and return the folder."""
    wheels = fetch(PROJECT, TARGET, WHEELS)
    release = folder / "arm" / RELEASE
    make_tree(PROJECT, release, version=VERSION, epoch=EPOCH, all_wheels=[wheels])
    _compile(base_root(), folder / "arm", f"/{RELEASE}/lib")
    return release


def _compile(native: Path, root: Path, inside: str) -> None:
    alone = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _COMPILE, "sh"]
    _run([*alone, str(native), str(root), inside], "this machine's Trixie root must have Python")


def _run(line: list[str], needs: str) -> None:
    done = subprocess.run(line, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        said = done.stderr.strip()[-2000:] or done.stdout.strip()[-2000:]
        raise RuntimeError(f"cannot make an aarch64 release: {said}; {needs}")
