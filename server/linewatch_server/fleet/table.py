"""`linewatch-server fleet`: the probes in a terminal, with what is stored of each."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from linewatch_server.clock import ServerClock
from linewatch_server.fleet.registry import Probe, Registry
from linewatch_server.index.queries import Queries
from linewatch_server.model.views import ProbeView
from linewatch_server.settings import Layout, load_settings


def print_fleet(directory: Path) -> None:
    """Print a table of all probes that were ever given a token."""
    load_settings(directory)
    registered = Registry(Layout(directory).registry).probes()
    views: dict[str, ProbeView] = {view.probe: view for view in Queries(directory).fleet()}
    Console().print(_table(registered, views))


def _table(registered: Iterable[Probe], views: dict[str, ProbeView]) -> Table:
    table = Table()
    table.add_column("probe", no_wrap=True)
    for name in ("label", "state", "last heard"):
        table.add_column(name)
    for name in ("records", "missing", "refused"):
        table.add_column(name, justify="right")
    for probe in registered:
        view = views.get(probe.probe)
        streams = view.streams if view else ()
        table.add_row(
            probe.probe,
            probe.label,
            _state(probe),
            _ago(view.last_arrival_ms if view else None),
            str(sum(stream.records for stream in streams)),
            str(sum(last - first + 1 for s in streams for first, last in s.holes)),
            str(view.quarantined if view else 0),
        )
    return table


def _state(probe: Probe) -> str:
    if probe.revoked_at is not None:
        return f"revoked {probe.revoked_at:%Y-%m-%d}"
    return "enrolled" if probe.enrolled_at is not None else "token not used yet"


def _ago(then_ms: int | None) -> str:
    if then_ms is None:
        return "never"
    seconds = max(0, (ServerClock().utc_ms() - then_ms) // 1000)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"
