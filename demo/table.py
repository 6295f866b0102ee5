"""The live table of the demo: what the probe measures, keeps, and what the server has."""

from collections import defaultdict
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

_RESULTS_KEPT = 12
_RESULT_WIDTH = 8
_OTHER_COLUMNS_WIDTH = 42


class History:
    """The last results of each line, target and check, newest last."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, str, str, int], list[tuple[int, str, bool]]] = defaultdict(
            list
        )

    def take(self, status: dict[str, Any]) -> None:
        """Add what a status shows that is new."""
        for sample in status["samples"]:
            key = (sample["line"], sample["target"], sample["check"], sample["family"])
            at_ms = status["mono_ms"] - sample["ago_ms"]
            results = self._results[key]
            if not results or results[-1][0] != at_ms:
                results.append((at_ms, _short(sample), sample["failure"] is None))
                del results[:-_RESULTS_KEPT]

    def rows(self, *, width: int) -> list[tuple[str, str, Text]]:
        """Return a row for each line, target and check: line, what is checked, its results.

        Args:
            width: of the terminal, in characters; as many results are shown as fit.
        """
        shown_most = max(1, (width - _OTHER_COLUMNS_WIDTH) // _RESULT_WIDTH)
        rows = []
        for (line, target, check, family), results in sorted(self._results.items()):
            text = Text()
            for _, shown, good in results[-shown_most:]:
                text.append(f"{shown:>7} ", style="green" if good else "red")
            rows.append((line, f"{target} {check}{family}", text))
        return rows


def render(
    history: History,
    status: dict[str, Any] | None,
    stored: int | None,
    *,
    page: str,
    phase: str,
    width: int,
) -> Group:
    """Return the whole picture for the terminal.

    Args:
        stored: records that the server says it has; None while it does not answer.
        page: the coordinator page's address.
        phase: one sentence on what is going on.
        width: of the terminal, in characters.
    """
    table = Table(title=phase, caption=f"The coordinator page: {page}", expand=False)
    table.add_column("line", no_wrap=True)
    table.add_column("target, check, IP", no_wrap=True)
    table.add_column("newest last; ms, or what failed", no_wrap=True)
    for line, what, results in history.rows(width=width):
        table.add_row(line, what, results)
    return Group(table, *_without_lines(status), _ledger(status, stored))


def _without_lines(status: dict[str, Any] | None) -> list[Text]:
    if status is None or any(line["usable"] for line in status["lines"]):
        return []
    said = "No line is usable (see above), so nothing is measured until one is."
    return [Text(said, style="yellow")]


def _ledger(status: dict[str, Any] | None, stored: int | None) -> Text:
    if status is None:
        return Text("The probe is starting.")
    store, uplink = status["store"], status["uplink"]
    committed, acked = sum(store["committed"].values()), sum(store["acked"].values())
    link = "connected" if uplink["connected"] else (uplink["problem"] or "connecting")
    at_server = "not answering" if stored is None else f"{stored}"
    return Text(
        f"records stored on the probe {committed}   acknowledged by the server {acked}   "
        f"stored at the server {at_server}\nuplink: {link}"
    )


def _short(sample: dict[str, Any]) -> str:
    failure: str | None = sample["failure"]
    if failure is not None:
        return _FAILURES.get(failure, failure[:7])
    if sample["rtt_us"] is None:
        return "ok"
    return f"{sample['rtt_us'] / 1000:.2f}"


_FAILURES = {
    "generic_timeout_error": "timeout",
    "host_unreachable": "nohost",
    "network_unreachable": "nonet",
    "connection_refused": "refused",
    "connection_reset": "reset",
    "dns_nxdomain_error": "nxdomn",
    "dns_server_failure": "srvfail",
    "http_unexpected_redirect": "moved",
    "http_unexpected_page": "altered",
    "dns_invented_answer": "invent",
    "no_gateway": "nogate",
    "no_resolver": "noname",
    "permission_denied": "noperm",
}
"""OONI's names cut to what a column holds; the page shows them whole."""
