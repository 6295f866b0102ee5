"""Puts the checkout into a layer: the agent by its package, the server as a folder.

The server has no package: /opt/linewatch-server holds its code, and the libraries of
requirements.lock for Debian's Python 3.13, downloaded once and kept in .cache/.
"""

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.appliance.layers import Layer
from tests.appliance.machine import in_layer
from tests.appliance.package import package
from tests.appliance.root import CACHE, ROOT

SERVER = "/opt/linewatch-server"
PYTHON = {"python_version": "3.13", "python_full_version": "3.13.5", "extra": ""}
"""Debian Trixie's."""
_START = """#!/bin/sh
exec /usr/bin/python3 -ISc '
import sys
sys.path[:0] = ["{server}/lib"]
from linewatch_server.__main__ import main
sys.exit(main())' "$@"
"""
_METADATA = "Metadata-Version: 2.1\nName: linewatch\nVersion: 0.1.0\n"


def install_agent(layer: Layer) -> None:
    """Install the checkout's agent in a layer as its package does it, with its units."""
    layer.copy(package(), "/srv/linewatch-agent.deb")
    in_layer(layer, "dpkg", "--install", "/srv/linewatch-agent.deb")


def install_server(layer: Layer) -> None:
    """Lay out the checkout's server in a layer, with its unit."""
    layer.copy(_libraries(), f"{SERVER}/lib")
    for source in (ROOT / "core/linewatch_core", ROOT / "server/linewatch_server"):
        layer.copy(source, f"{SERVER}/lib/{source.name}")
    layer.put(f"{SERVER}/lib/linewatch-0.1.0.dist-info/METADATA", _METADATA)
    layer.put("/usr/bin/linewatch-server", _START.format(server=SERVER), mode=0o755)
    for name, folder in (
        ("linewatch-server.service", "/usr/lib/systemd/system"),
        ("sysusers.d/linewatch-server.conf", "/usr/lib/sysusers.d"),
    ):
        layer.copy(ROOT / "systemd" / name, f"{folder}/{Path(name).name}")


def _libraries() -> Path:
    """Return a folder with the server's libraries for Python 3.13, downloaded if need be.

    Raises:
        RuntimeError: pip failed; the text has its words.
    """
    wanted = _locked()
    key = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    folder = CACHE / f"server-{key}"
    if folder.is_dir():
        return folder
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    requirements = new.with_suffix(".txt")
    requirements.write_text(wanted)
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    command += ["--target", str(new), "--requirement", str(requirements), "--require-hashes"]
    command += ["--only-binary=:all:", "--no-deps", "--python-version=3.13", "--implementation=cp"]
    for glibc in ("_2_34", "_2_28", "_2_17", "2014"):
        command += ["--platform", f"manylinux{glibc}_{platform.machine()}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"cannot fetch the server's libraries: {done.stderr.strip()}")
    requirements.unlink()
    new.rename(folder)
    return folder


def _locked() -> str:
    """Return the part of requirements.lock that the server needs on Python 3.13."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    blocks = dict[str, str]()
    for block in re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text()):
        if (match := re.match(r"([A-Za-z0-9_.-]+)==", block)) is not None:
            blocks[match[1].lower()] = block
    wanted = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    return "\n".join(blocks[name] for name in sorted(_with_dependencies(wanted, blocks)))


def _with_dependencies(wanted: list[str], locked: dict[str, str]) -> set[str]:
    """Return the names of requirements and all that they need, as installed in .venv."""
    names = set[str]()
    todo = [Requirement(text) for text in wanted]
    while todo:
        name = todo.pop().name.lower()
        if name not in names and name in locked:
            names.add(name)
            needed = map(Requirement, metadata.requires(name) or [])
            todo += [one for one in needed if one.marker is None or one.marker.evaluate(PYTHON)]
    return names
