"""The Debian root that tests boot: made once by mmdebstrap, kept in .cache/, never written to.

Its key is the suite, the package list and this recipe: change one and the next
run makes another root. Several runs at once make it once (a lock file). Tests
write to a layer over it (layers.py) and boot that (machine.py).
"""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "appliance"
SUITE = "trixie"
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
    "ip": "iproute2",
}
_PACKAGES = Path(__file__).with_name("packages.txt")
_CUSTOMIZE = (
    # Each boot is a new machine's first; nothing of it may ask a person anything.
    ': >"$1/etc/machine-id"',
    'echo trixie-probe >"$1/etc/hostname"',
    'touch "$1/etc/cloud/cloud-init.disabled"',
    "for unit in mosquitto.service apt-daily.timer apt-daily-upgrade.timer"
    ' systemd-firstboot.service; do systemctl --root="$1" -q mask "$unit"; done',
)
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def packages() -> list[str]:
    """Return the names of the packages in the root."""
    lines = (line.partition("#")[0].strip() for line in _PACKAGES.read_text().splitlines())
    return [line for line in lines if line]


def base_root() -> Path:
    """Return the folder of the root, which is made if it is not there yet.

    Raises:
        RuntimeError: a tool is missing or mmdebstrap failed; the text says what to do.
    """
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise RuntimeError(f"cannot boot a probe: no `{tool}`; apt-get install {package}")
    CACHE.mkdir(parents=True, exist_ok=True)
    root = CACHE / f"{SUITE}-{_key()}"
    with (CACHE / "root.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            _make(root)
    return root


def _key() -> str:
    recipe = "\n".join([SUITE, *packages(), *_CUSTOMIZE, *_LEFT_OUT])
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _make(root: Path) -> None:
    """Make the root beside its place, and move it there when it is whole."""
    new = root.with_name(f"{root.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
    command += [f"--include={','.join(packages())}"]
    command += [f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT]
    command += [f"--customize-hook={hook}" for hook in _CUSTOMIZE]
    made = subprocess.run(
        [*command, SUITE, str(new)], capture_output=True, text=True, timeout=900, check=False
    )
    if made.returncode != 0:
        shutil.rmtree(new, ignore_errors=True)
        raise RuntimeError(
            f"cannot make a Debian {SUITE} root: {made.stderr.strip()[-2000:]}; "
            "it needs root and, once, a Debian mirror"
        )
    for old in CACHE.glob(f"{SUITE}-*"):
        if old != new:
            _remove_if_unused(old)
    new.rename(root)


def _remove_if_unused(root: Path) -> None:
    """Remove another recipe's root, unless a layer of somebody lies over it."""
    if str(root) not in Path("/proc/mounts").read_text():
        shutil.rmtree(root, ignore_errors=True)
