"""The archives of a release: one for each kind of machine, since data is scarce on a SIM.

A tar of plain files and folders, compressed by xz; nothing else is taken by the probe
that unpacks it (releases/unpack.py). The same bytes each time.
"""

import io
import lzma
import tarfile
from pathlib import Path

from linewatch_agent.releases.unpack import DICTIONARY_BYTES
from tools.deb.wheels import Target

PRESET = 9 | lzma.PRESET_EXTREME


def write_archive(
    release: Path, target: Target, file: Path, *, epoch: int, preset: int = PRESET
) -> None:
    """Write the archive of a release for one kind of machine; `preset` as xz knows it."""
    others = {
        path.name
        for path in (release / "lib").iterdir()
        if path.name not in ("common", target.machine, target.tag)
    }
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(release.rglob("*")):
            inside = path.relative_to(release)
            if inside.parts[0] == "lib" and inside.parts[1:2] and inside.parts[1] in others:
                continue
            info = tarfile.TarInfo(str(inside))
            info.mtime, info.mode = epoch, path.stat().st_mode & 0o777
            if path.is_dir():
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = path.stat().st_size
                with path.open("rb") as content:
                    tar.addfile(info, content)
    compression = {"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": DICTIONARY_BYTES}
    file.write_bytes(lzma.compress(plain.getvalue(), filters=[compression]))
