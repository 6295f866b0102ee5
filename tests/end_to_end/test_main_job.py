"""The whole path as its users run it: measure, keep, hand over, store, show."""

import csv
import io
import json
import sys
from collections.abc import Iterator

import pytest

from tests.support.world import AGENT, ISP4, SERVER, World, world

PORTS = [9000, 9001]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which server and probe have run until the first records are at the server."""
    with world(tmp_path_factory.mktemp("world")) as made:
        ledger = str(made.folder / "ledger")
        made.isp.serve("tests.support.world:serve_ledger", ISP4, PORTS, ledger)
        made.set_up_server()
        made.start_server()
        made.enrol()
        made.start_agent()
        made.until_synced()
        yield made


def _probe(here: World) -> str:
    status = here.status()
    assert status is not None
    return str(status["probe"])


def _page(here: World, path: str) -> str:
    fetch = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
    return here.command(sys.executable, "-c", fetch, f"http://127.0.0.1:8080{path}").stdout


def test_status_says_how_the_probe_is_in_words_and_as_data(here: World) -> None:
    """`status` tells lines, last round, store, backlog, data used, uplink and clock."""
    words = here.command(*AGENT, "status", "--state", here.state).stdout
    for part in ("fixed-1", "Last round", "Store", "Backlog", "Uplink", "Clock", "MB of data"):
        assert part in words
    status = here.status()
    assert status is not None
    assert status["lines"][0]["bytes_out"] > 0
    assert status["clock"]["source"] in ("server", "ntp")


def test_lines_names_the_one_line_of_this_machine(here: World) -> None:
    """`lines` finds the line by itself and exits 0 because it can be measured."""
    found = json.loads(here.command(*AGENT, "lines", "--state", here.state, "--json").stdout)
    assert [line["id"] for line in found["lines"]] == ["fixed-1"]


def test_samples_come_back_as_csv_and_json(here: World) -> None:
    """`samples` prints what was measured, each sample with its bounds in UTC."""
    where = (
        "--probe",
        _probe(here),
        "--line",
        "fixed-1",
        "--from",
        "2020-01-01",
        "--to",
        "2100-01-01",
    )

    def read() -> list[dict[str, str]]:
        text = here.command(*SERVER, "samples", here.server, *where, "--csv").stdout
        return list(csv.DictReader(io.StringIO(text)))

    # What is synced first may be a part of a round.
    both = {"site-a", "site-b"}
    here.until("samples of both", lambda: {row["target"] for row in read()} == both)
    rows = read()
    assert all(row["utc_lo"] <= row["utc_hi"] for row in rows)
    found = json.loads(here.command(*SERVER, "samples", here.server, *where, "--json").stdout)
    assert len(found) >= len(rows)
    assert {one["check"] for one in found} == {"tcp", "icmp"}


def test_page_and_api_show_the_line(here: World) -> None:
    """The coordinator page has a row for the line; the API and the probe page know it too."""
    assert "fixed-1" in _page(here, "/")
    assert "site-a" in _page(here, f"/probe/{_probe(here)}")
    assert _probe(here) in _page(here, "/api/fleet")


def test_rebuild_gives_the_same_answers(here: World) -> None:
    """After `rebuild` the index answers as before, from the archive alone."""
    probe = _probe(here)
    here.stop("server")

    def counts() -> list[str]:
        said = here.command(*SERVER, "fleet", here.server).stdout.splitlines()
        (row,) = (line for line in said if probe in line)
        return row.split()[-3:]

    before = counts()
    here.command(*SERVER, "rebuild", here.server)
    assert counts() == before != ["0"] * 3
    audit = (*SERVER, "audit", here.server, "--probe", probe, "--json")
    assert json.loads(here.command(*audit).stdout)["missing"] == 0
    here.start_server()
    here.until_synced()


def test_revoked_probe_is_heard_no_more(here: World) -> None:
    """After `revoke` nothing more of the probe is stored, and the agent measures on and says so."""
    probe = _probe(here)
    here.command(*SERVER, "revoke", here.server, "--probe", probe)

    def kept() -> int:
        status = here.status()
        return 0 if status is None else int(status["store"]["backlog"])

    here.until("the probe to keep what is not taken", lambda: kept() > 10)
    audit = (*SERVER, "audit", here.server, "--probe", probe, "--json")
    stored = json.loads(here.command(*audit, check=False).stdout)["stored"]
    here.until("the backlog to grow", lambda: kept() > 30)
    assert json.loads(here.command(*audit, check=False).stdout)["stored"] == stored
