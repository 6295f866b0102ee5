"""How the package is put together: which wheels, for whom."""

import zipfile
from pathlib import Path

import pytest

from tools.deb import wheels as wheels_module
from tools.deb.__main__ import PROJECT
from tools.deb.tree import make_tree
from tools.deb.wheels import Target, Wheels, agent_libraries, fetch, locked

ARM = Target("armv7l", "3.13")


def wheel(folder: Path, name: str, content: str = "x = 1\n") -> Path:
    """Write a wheel with one module."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("module.py", content)
        file.writestr("module.pyi", "x: int\n")
        file.writestr("thing-1.dist-info/METADATA", "Name: thing\n")
        file.writestr("thing-1.dist-info/RECORD", "")
    return path


def test_all_that_the_agent_imports_is_locked() -> None:
    """Libraries of libraries are found, on both Pythons, and none of the server's."""
    for python in ("3.11", "3.13"):
        names = agent_libraries(PROJECT, python)
        assert {"pynacl", "cffi", "msgspec", "psutil", "multidict"} <= set(names)
        assert not {"jinja2", "rich", "pytest"} & set(names)
        assert all("--hash=sha256:" in pin for pin in locked(PROJECT, names).values())


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("msgspec-{version}-cp313-cp313-linux_armv7l.whl", True),
        ("msgspec-{version}-cp311-abi3-linux_armv7l.whl", True),
        ("msgspec-{version}-cp311-cp311-linux_armv7l.whl", False),
        ("msgspec-{version}-cp313-cp313-linux_armv6l.whl", False),
        ("msgspec-0.0.1-cp313-cp313-linux_armv7l.whl", False),
        ("psutil-{version}-cp313-cp313-linux_armv7l.whl", False),
    ],
)
def test_wheels_can_be_brought(
    name: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no wheel is taken from a folder if machine, Python and version are the lock's."""
    monkeypatch.setattr(wheels_module, "agent_libraries", lambda *_: ["msgspec"])
    monkeypatch.setattr(wheels_module, "_fetch_one", lambda *_: None)
    version = locked(PROJECT, ["msgspec"])["msgspec"].partition("==")[2].split()[0]
    made = wheel(tmp_path / "brought", name.format(version=version))
    found = fetch(PROJECT, ARM, tmp_path / "cache", brought=tmp_path / "brought")
    assert found.found == ((made,) if taken else ())
    assert found.lacking == (() if taken else ("msgspec",))
    assert fetch(PROJECT, ARM, tmp_path / "cache").lacking == ("msgspec",)


def test_a_tree_shares_what_can_be_shared(tmp_path: Path) -> None:
    """Pure wheels once, stable ones once for each machine, the rest for machine and Python."""
    pure = wheel(tmp_path / "w", "pure-1-py3-none-any.whl")
    stable = wheel(tmp_path / "w", "stable-1-cp311-abi3-manylinux2014_armv7l.whl")
    native = wheel(tmp_path / "w", "native-1-cp313-cp313-manylinux2014_armv7l.whl")
    arm = Wheels(ARM, (pure, stable, native), ("msgspec", "psutil", "dbus-fast"))
    other = Wheels(Target("x86_64", "3.13"), (pure,), ())
    made = tmp_path / "made"
    make_tree(PROJECT, made, version="1.2", epoch=7, all_wheels=[arm, other])
    lib = made / "lib"
    assert (lib / "common/module.py").exists()
    assert (lib / "armv7l/module.py").exists()
    assert (lib / "armv7l-cp313/module.py").exists()
    assert sorted(path.name for path in (lib / "x86_64-cp313").iterdir()) == []
    # dbus-fast is not wanted at the start: only where a modem is.
    assert (lib / "armv7l-cp313/LACKING").read_text() == "msgspec -\npsutil python3-psutil\n"
    assert not list(lib.rglob("*.pyi"))
    assert not list(lib.rglob("RECORD"))
    assert (made / "VERSION").read_text() == "1.2\n"
    assert (made / "bin/linewatch-agent").stat().st_mode & 0o777 == 0o755
    assert (made / "VERSION").stat().st_mtime == 7


def test_a_library_whose_compiled_parts_stay_behind_is_there_in_python(tmp_path: Path) -> None:
    """dbus-fast has each of its modules twice; another library keeps what it has."""
    found = []
    for name in ("dbus_fast", "msgspec"):
        path = tmp_path / f"{name}-1-cp313-cp313-linux_armv7l.whl"
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(f"{name}/message.py", "x = 1\n")
            file.writestr(f"{name}/message.cpython-313-arm-linux-gnueabihf.so", "")
        found.append(path)
    all_wheels = [Wheels(ARM, found=tuple(found), lacking=())]
    make_tree(PROJECT, tmp_path / "release", version="0.1.0", epoch=0, all_wheels=all_wheels)
    native = tmp_path / "release/lib" / ARM.tag
    names = {f"{path.parent.name}/{path.name.partition('.')[2]}" for path in native.glob("*/*")}
    assert names == {"dbus_fast/py", "msgspec/py", "msgspec/cpython-313-arm-linux-gnueabihf.so"}
