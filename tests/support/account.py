"""The account of a run: what the server's archive holds, and whether its index agrees."""

from linewatch_core.ids import ProbeId
from linewatch_core.records import Stream
from linewatch_server.audit import Audit, audit
from linewatch_server.fleet.keys import recipient_secrets
from linewatch_server.index.queries import Queries
from linewatch_server.settings import Layout
from tests.support.world import World


def account(here: World, probe: ProbeId, *, more_secrets: tuple[bytes, ...] = ()) -> Audit:
    """Return what the archive holds of a probe; the server must not run.

    The index must show each sample that the archive holds, once.
    """
    secrets = (*recipient_secrets(Layout(here.server)), *more_secrets)
    found = audit(here.server, probe, recipient_secrets=secrets)
    samples = Queries(here.server, recipient_secrets=secrets).samples(probe, None, 0, 2**53)
    raw = sum(one.stored for one in found.streams if one.stream is Stream.RAW)
    assert sum(1 for _ in samples) == raw, "index and archive do not agree"
    return found


def assert_whole(found: Audit) -> None:
    """Nothing missing, nothing twice, nothing that is not believed."""
    assert found.stored > 0
    assert (found.missing, found.duplicates) == (0, 0), found.streams
    assert (found.quarantined, found.unverified) == (0, 0)
