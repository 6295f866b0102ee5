"""`linewatch-server fleet`: the probes in a terminal, the silent ones first.

What a silent probe last said of its lines is the nearest that the server knows of why.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from linewatch_core.ids import ProbeId
from linewatch_server.clock import ServerClock
from linewatch_server.fleet.registry import Probe, Registry
from linewatch_server.index.database import IndexUnreadableError
from linewatch_server.index.queries import Queries
from linewatch_server.model.views import QUIET_MS, LineView, ProbeView
from linewatch_server.settings import Layout, load_settings

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


def print_fleet(directory: Path) -> None:
    """Print a table of all probes that were ever given a token, or of which something is stored."""
    load_settings(directory)
    registered = {one.probe: one for one in Registry(Layout(directory).registry).probes()}
    queries = Queries(directory)
    note = None
    views: dict[ProbeId, ProbeView] = {}
    try:
        views = {view.probe: view for view in queries.fleet()}
    except IndexUnreadableError as error:
        note = f"What is stored is not known here: {error}"
    console = Console()
    now_ms = ServerClock().utc_ms()
    console.print(_table(registered, views, queries.lines, now_ms=now_ms))
    if note is not None:
        console.print(note, soft_wrap=True)


def _table(
    registered: Mapping[ProbeId, Probe],
    views: Mapping[ProbeId, ProbeView],
    lines_of: Callable[[ProbeId], Iterable[LineView]],
    *,
    now_ms: int,
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("probe", no_wrap=True)
    for name in ("label", "state", "lines, as last told"):
        table.add_column(name)
    for name in ("records", "missing", "quarantined"):
        table.add_column(name, justify="right", min_width=len(name))
    rows = []
    for probe in {**registered, **views}:
        entry, view = registered.get(probe), views.get(probe)
        last_ms = None if view is None else view.last_arrival_ms
        state, rank = _state(entry, last_ms, now_ms)
        streams = view.streams if view else ()
        cells = (
            probe,
            entry.label if entry else "",
            state,
            "; ".join(_said(line) for line in lines_of(probe)) if view else "",
            f"{sum(stream.records for stream in streams):,}",
            f"{sum(last - first + 1 for s in streams for first, last in s.holes):,}",
            f"{view.quarantined if view else 0:,}",
        )
        rows.append((rank, last_ms or 0, cells))
    for rank, _, cells in sorted(rows):
        table.add_row(*cells, style="bold" if rank == 0 else None)
    return table


def _state(entry: Probe | None, last_ms: int | None, now_ms: int) -> tuple[str, int]:
    """Return a probe's state in words, and where it stands: what needs a person is first."""
    if entry is None:
        return "not registered", 0
    if entry.revoked_at is not None:
        return f"revoked {entry.revoked_at:%Y-%m-%d}", 3
    if entry.enrolled_at is None:
        return "token open", 2
    if last_ms is None:
        return "enrolled, never sent", 0
    ago = _length(now_ms - last_ms)
    return (f"silent for {ago}", 0) if now_ms - last_ms > QUIET_MS else (f"sent {ago} ago", 1)


def _said(line: LineView) -> str:
    if line.problems:
        return f"{line.line} {', '.join(line.problems)}"
    return f"{line.line} {'usable' if line.usable else 'not usable'}"


def _length(length_ms: int) -> str:
    seconds = max(0, length_ms // 1000)
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
