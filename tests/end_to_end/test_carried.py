"""A stick instead of a line, with the real commands: the agent runs, the server stops to import."""

from pathlib import Path

from linewatch_core.ids import ProbeId
from linewatch_server.audit import audit
from linewatch_server.fleet.keys import recipient_secrets
from linewatch_server.settings import Layout
from tests.support.world import AGENT, ISP4, SERVER, world


def test_what_a_stick_brought_is_not_stored_again_by_the_sync(tmp_path: Path) -> None:
    """Exported beside a running agent, imported, then synced: all stored once, none missing."""
    with world(tmp_path) as here:
        here.isp.serve("tests.support.world:serve_ledger", ISP4, [9000, 9001], str(tmp_path / "l"))
        here.set_up_server()
        here.start_server()
        probe = ProbeId(here.enrol())
        here.start_agent()
        here.until_synced()
        here.stop("server")
        before = _committed(here.status())
        here.until("some samples", lambda: _committed(here.status()) > before + 40)
        stick = tmp_path / "stick"
        said = here.command(*AGENT, "export", stick, "--state", here.state).stdout
        assert "new files" in said
        running = here.command(*SERVER, "import", here.server, stick).stdout
        assert "quarantined" in running
        secrets = recipient_secrets(Layout(here.server))
        brought = audit(here.server, probe, recipient_secrets=secrets)
        here.start("server", *SERVER, "run", here.server)
        here.until_synced()
        assert here.stop("agent") == 0
        here.stop("server")
        found = audit(here.server, probe, recipient_secrets=secrets)
    assert brought.stored >= before + 40
    assert found.stored > brought.stored
    assert (found.missing, found.duplicates, found.quarantined, found.unverified) == (0, 0, 0, 0)


def _committed(status: dict[str, object] | None) -> int:
    if status is None:
        return 0
    store = status["store"]
    assert isinstance(store, dict)
    return int(store["committed"]["raw"])
