"""The agent's part of an update: when it fetches, over what, how it goes on, when it stops."""

import random
import signal
import ssl
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from linewatch_agent.plan.updates import Situation
from linewatch_agent.releases import fetch as fetch_module
from linewatch_agent.releases import updater as updater_module
from linewatch_agent.releases.fetch import FetchError
from linewatch_agent.releases.install import Installer
from linewatch_agent.releases.shelf import Shelf
from linewatch_agent.releases.updater import BAD_MAX, NotNowError
from linewatch_core.errors import LinewatchError, SignatureError
from linewatch_core.verdict import LineVerdict
from tests.agent.checks.servers import issue
from tests.support.release_server import LINE, MOBILE, WELL, Site, served, updater_for
from tests.support.releases import Made, made_release, probe_tree, starts

OUTBOX = "linewatch_agent.releases.outbox:Outbox"
PART_BYTES = 700


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A newer release of a few parts."""
    monkeypatch.setattr(updater_module, "PART_BYTES", PART_BYTES)
    return padded(tmp_path / "new", "1.1")


def padded(work: Path, version: str) -> Made:
    """Return a release whose archive takes several parts."""
    folder = work / "release"
    noise = random.Random(version).randbytes(4 * PART_BYTES).hex()
    folder.mkdir(parents=True)
    (folder / "noise").write_text(noise)
    return made_release(work, version)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A probe that runs 1.0."""
    return probe_tree(tmp_path / "probe", "1.0")


async def test_what_is_new_is_fetched_in_parts_and_put_in_place(made: Made, shelf: Shelf) -> None:
    """A newer release comes over the line, root takes it, and it runs; all bytes are counted."""
    spent: list[tuple[str, int]] = []
    with served(Site(made)) as site:
        updater = updater_for(shelf.places, site.port, spend=lambda *one: spent.append(one))
        assert await updater.look()
    assert len(site.asked) == -(-len(made.archive) // PART_BYTES)
    assert {line for line, _ in spent} == {LINE.id}
    assert sum(count for _, count in spent) > len(made.archive) + len(made.manifest)
    assert Installer(shelf).install() == "1.1"
    assert starts(shelf) == "1.1"
    with served(Site(made)) as site:
        assert not await updater_for(shelf.places, site.port).look()
    assert site.asked == []


@pytest.mark.parametrize("cut_after", [1, 100, 650])
async def test_a_line_that_breaks_is_resumed(cut_after: int, made: Made, shelf: Shelf) -> None:
    """What came before a connection broke is kept, to the byte."""
    with served(Site(made)) as site:
        site.on_archive = lambda: setattr(
            site, "cut_after", cut_after if len(site.asked) in (2, 4) else None
        )
        assert await updater_for(shelf.places, site.port).look()
    begins = [int(asked.removeprefix("bytes=").partition("-")[0]) for asked in site.asked]
    assert begins[:4] == [0, PART_BYTES, PART_BYTES + cut_after, 2 * PART_BYTES + cut_after]
    assert Installer(shelf).install() == "1.1"


async def test_a_line_that_says_nothing_ends_the_try(made: Made, shelf: Shelf) -> None:
    """A connection that breaks before its first byte is a failure, and nothing is lost by it."""
    with served(Site(made)) as site:
        site.on_archive = lambda: setattr(site, "cut_after", 0 if len(site.asked) == 3 else None)
        with pytest.raises(FetchError):
            await updater_for(shelf.places, site.port).look()
        assert (shelf.places.inbox / "archive.part").stat().st_size == 2 * PART_BYTES
        site.cut_after = None
        assert await updater_for(shelf.places, site.port).look()


async def test_a_line_that_hangs_is_left(
    made: Made, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not answer in time is left; the socket is closed."""
    monkeypatch.setattr(fetch_module, "PATIENCE_S", 0.2)
    done = threading.Event()
    with served(Site(made)) as site:
        site.on_archive = lambda: print(done.wait(10))
        with pytest.raises(FetchError, match="TimeoutError"):
            await updater_for(shelf.places, site.port).look()
        done.set()


async def test_a_server_without_ranges_will_do(
    made: Made, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that always sends the whole file is taken from the beginning, in one part."""
    monkeypatch.setattr(updater_module, "PART_BYTES", 10 * len(made.archive))
    with served(Site(made, ranges=False)) as site:
        assert await updater_for(shelf.places, site.port).look()
    assert Installer(shelf).install() == "1.1"


async def test_a_server_without_ranges_is_told_apart(made: Made, shelf: Shelf) -> None:
    """One that always sends the whole of a long file is refused, not fetched from for ever."""
    with served(Site(made, ranges=False)) as site:
        with pytest.raises(FetchError, match="no parts of files"):
            await updater_for(shelf.places, site.port).look()
        assert len(site.asked) == 2


@pytest.mark.parametrize(
    ("site", "reason"),
    [({"shift": 5}, "another part"), ({"status": 404}, "HTTP 404"), ({"status": 302}, "HTTP 302")],
)
async def test_a_server_that_answers_wrongly(
    site: dict[str, int], reason: str, made: Made, shelf: Shelf
) -> None:
    """Other parts than asked for, errors and redirects are told in words, and nothing is kept."""
    with (
        served(Site(made, **site)) as running,  # type: ignore[arg-type]
        pytest.raises(FetchError, match=reason),
    ):
        await updater_for(shelf.places, running.port).look()
    assert not (shelf.places.inbox / "archive.part").exists()


@pytest.mark.parametrize("trusted", [True, False])
async def test_https_is_checked_by_name(
    trusted: bool, made: Made, shelf: Shelf, tmp_path: Path
) -> None:
    """Over HTTPS the site's certificate must be of a trusted authority and for its name."""
    authority = issue("Authority")
    leaf = issue("example.org" if trusted else "example.net", issuer=authority)
    client = ssl.create_default_context(cadata=authority.der)
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT
    with served(Site(made, tls=leaf.server_context(tmp_path))) as site:
        updater = updater_for(shelf.places, site.port, tls=client)
        if trusted:
            assert await updater.look()
        else:
            with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
                await updater.look()


async def test_an_archive_of_somebody_else_is_thrown_away(made: Made, shelf: Shelf) -> None:
    """An archive with another hash never reaches root, and is not fetched for ever."""
    other = replace(made, archive=bytes(len(made.archive)))
    with served(Site(other)) as site:
        updater = updater_for(shelf.places, site.port)
        for _ in range(BAD_MAX):
            with pytest.raises(FetchError, match="not the archive that was signed"):
                await updater.look()
        asked = len(site.asked)
        assert not await updater.look()
        assert len(site.asked) == asked
    assert [path.name for path in shelf.places.inbox.iterdir()] == ["manifest"]


async def test_a_manifest_of_somebody_else_fetches_nothing(made: Made, shelf: Shelf) -> None:
    """A manifest that the fleet's key did not sign costs its own bytes and no more."""
    forged = replace(made, manifest=made.manifest.replace(b'"1.1"', b'"1.2"'))
    with served(Site(forged)) as site, pytest.raises(SignatureError):
        await updater_for(shelf.places, site.port).look()
    assert site.asked == []
    assert list(shelf.places.inbox.iterdir()) == []


async def test_what_root_refused_is_not_fetched_again(made: Made, shelf: Shelf) -> None:
    """Root's refusal is remembered by manifest, so that data is not spent on it again."""
    with served(Site(made)) as site:
        updater = updater_for(shelf.places, site.port)
        assert await updater.look()
        shelf.places.key.write_text("00" * 32)
        with pytest.raises(LinewatchError):
            Installer(shelf).install()
        asked = len(site.asked)
        assert not await updater.look()
        assert len(site.asked) == asked


async def test_a_newer_manifest_replaces_what_was_begun(
    made: Made, shelf: Shelf, tmp_path: Path
) -> None:
    """Half an archive of a release that was followed by another is dropped."""
    newer = padded(tmp_path / "newer", "1.2")
    with served(Site(made)) as site:
        site.on_archive = lambda: setattr(site, "cut_after", 0 if len(site.asked) == 3 else None)
        with pytest.raises(FetchError):
            await updater_for(shelf.places, site.port).look()
    with served(Site(newer)) as site:
        assert await updater_for(shelf.places, site.port).look()
        assert site.asked[0].startswith("bytes=0-")
    assert Installer(shelf).install() == "1.2"


async def test_an_outage_that_begins_stops_it(made: Made, shelf: Shelf) -> None:
    """Between two parts the probe is asked again how it is; after the outage it goes on."""
    now = [WELL]
    with served(Site(made)) as site:
        cut = replace(WELL, verdicts={LINE.id: LineVerdict.INTL_CUT})
        site.on_archive = lambda: now.append(cut) if len(site.asked) == 3 else None
        updater = updater_for(shelf.places, site.port, situation=lambda: now[-1])
        with pytest.raises(NotNowError, match="fixed-1 is intl_cut"):
            await updater.look()
        assert len(site.asked) == 3
        with pytest.raises(NotNowError):
            await updater.look()
        assert len(site.asked) == 3
        now.append(WELL)
        site.on_archive = lambda: None
        assert await updater.look()
        assert site.asked[3].startswith(f"bytes={3 * PART_BYTES}-")


async def test_a_line_that_may_spend_no_more_is_spared(made: Made, shelf: Shelf) -> None:
    """No line's month is overrun: what does not fit waits, and what came is kept."""
    left = [200_000]

    def spend(_: str, count: int) -> None:
        left[0] -= count
        if (shelf.places.inbox / "archive.part").exists():
            left[0] = 0

    with served(Site(made)) as site:
        updater = updater_for(
            shelf.places, site.port, affords=lambda _, count: count <= left[0], spend=spend
        )
        with pytest.raises(NotNowError, match="no line has the data left"):
            await updater.look()
    assert len(site.asked) == 2
    assert (shelf.places.inbox / "archive.part").stat().st_size == 2 * PART_BYTES


async def test_a_disk_that_is_nearly_full_is_left_to_the_evidence(
    made: Made, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a release would take the store's room, nothing is fetched."""
    monkeypatch.setattr(updater_module, "ROOM_LEFT_BYTES", 2**60)
    with served(Site(made)) as site:
        with pytest.raises(NotNowError, match="no room"):
            await updater_for(shelf.places, site.port).look()
        assert site.asked == []


BOTH = replace(
    WELL, lines=(MOBILE, LINE), verdicts={MOBILE.id: LineVerdict.OK, LINE.id: LineVerdict.OK}
)


@pytest.mark.parametrize(
    ("situation", "setting", "used"),
    [
        (BOTH, "all", LINE.id),
        (BOTH, "fixed", LINE.id),
        (replace(BOTH, lines=(MOBILE,)), "all", MOBILE.id),
        (replace(BOTH, lines=(MOBILE,)), "fixed", None),
    ],
)
async def test_mobile_lines_are_for_when_no_fixed_one_is(
    situation: Situation, setting: str, used: str | None, made: Made, shelf: Shelf
) -> None:
    """A mobile line is used only where no fixed one is, and the configuration lets it."""
    spent: set[str] = set()
    with served(Site(made)) as site:
        updater = updater_for(
            shelf.places,
            site.port,
            situation=lambda: situation,
            spend=lambda line, _: spent.add(line),
            lines=setting,
        )
        if used is None:
            with pytest.raises(NotNowError):
                await updater.look()
        else:
            assert await updater.look()
    assert spent == ({used} if used else set())


async def test_a_dead_line_leaves_it_to_the_next(made: Made, shelf: Shelf) -> None:
    """Where the first line does not connect, the next one that may is tried."""
    spent: set[str] = set()
    with served(Site(made)) as site:
        updater = updater_for(
            shelf.places,
            site.port,
            situation=lambda: BOTH,
            spend=lambda line, _: spent.add(line),
            dead=LINE.id,
        )
        assert await updater.look()
    assert spent == {MOBILE.id}


STEPS = [f"{OUTBOX}.begin", f"{OUTBOX}.add", f"{OUTBOX}.hand_over", f"{OUTBOX}._say_ready"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.partition(":")[2])
def test_the_download_killed_at_every_step(
    step: str, when: str, shelf: Shelf, tmp_path: Path
) -> None:
    """Wherever the agent is killed while it fetches, it goes on, and the release runs."""
    with served(Site(padded(tmp_path / "new", "1.1"))) as site:
        runner = [sys.executable, "-m", "tests.support.release_server"]
        command = [*runner, str(shelf.places.root), str(site.port)]
        killed = subprocess.run(
            [*command, f"{when} {step}", "1"], capture_output=True, text=True, check=False
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert starts(shelf) == "1.0"
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        assert again.stdout.endswith("True\n"), again.stderr
        # Each part once, but for the one that was on its way.
        assert len(site.asked) <= 2
    assert Installer(shelf).install() == "1.1"
    assert starts(shelf) == "1.1"
