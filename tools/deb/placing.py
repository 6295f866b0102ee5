"""Where the files of systemd/ go: places.toml decides, and a file it does not know fails."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

PLACES = Path(__file__).parent / "places.toml"
UNIT_FOLDER = "usr/lib/systemd/system"


@dataclass(frozen=True, slots=True)
class Placed:
    """One file: where it is in the checkout, where it goes (relative to `/`), its rights."""

    source: Path
    to: str
    mode: int


def placed_files(folder: Path) -> list[Placed]:
    """Return where every file below systemd/ goes; files that belong to no probe are left out.

    Raises:
        SystemExit: places.toml has no pattern for a file.
    """
    table = tomllib.loads(PLACES.read_text())["place"]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [one for path in files if (one := _place(path, folder, table)) is not None]


def _place(path: Path, folder: Path, table: list[dict[str, str | int]]) -> Placed | None:
    inside = str(path.relative_to(folder))
    for row in table:
        if fnmatchcase(inside, str(row["pattern"])):
            short = path.name.removeprefix("linewatch-")
            to = str(row["to"]).format(path=inside, name=path.name, stem=path.stem, short=short)
            return Placed(path, to, int(row.get("mode", 0o644))) if to else None
    raise SystemExit(
        f"cannot build: {PLACES.name} does not say where {inside} of systemd/ goes; add a pattern"
    )


def enabled_units(placed: list[Placed]) -> Iterator[str]:
    """Yield the units that say what they are wanted by, so that installing turns them on."""
    for one in placed:
        if Path(one.to).parent == Path(UNIT_FOLDER) and "\n[Install]" in one.source.read_text():
            yield one.source.name
