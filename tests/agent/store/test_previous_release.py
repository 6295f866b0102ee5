"""A store of the release before, left by a power cut, goes on under this one.

`tests/data/store-aecb676.zip` was written by the code of that commit, with that commit's
`tests.support.probe` and `tests.support.records`: 60 events, 300 counts, 1,450 samples
(seed 1), the last 50 committed with `safe_ms` 777,000; `raw` acked through 400; neither
stopped nor checkpointed, so that the open blocks and the WAL are in it. Nothing here is
to be regenerated: old stores stay as they are.
"""

import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from linewatch_agent.store import upgrade
from linewatch_core.details import HttpDetail
from linewatch_core.records import Body, Gap, GapReason, Sample, Stream
from linewatch_core.sync.messages import StreamAck
from tests.support.probe import NEXT_BOOT, Probe, records_of, sample, samples
from tests.support.records import realistic_events, realistic_rolls, realistic_samples
from tests.support.segments import BOOT

OLD = Path(__file__).parents[2] / "data" / "store-aecb676.zip"


@pytest.fixture
def upgraded(tmp_path: Path) -> Probe:
    """Start on a copy of the old store, in another boot."""
    shutil.unpack_archive(OLD, tmp_path / "s")
    return Probe(tmp_path / "s", boot=NEXT_BOOT, epoch_label="a new epoch")


def as_then(body: Body) -> Body:
    """Return a body without what that release did not know."""
    if isinstance(body, Sample) and isinstance(body.detail, HttpDetail):
        return msgspec.structs.replace(
            body, detail=msgspec.structs.replace(body.detail, issuer_sha256=None)
        )
    return body


def test_every_record_of_the_old_release_is_there(upgraded: Probe) -> None:
    """All that was committed, open blocks included, signed and chained, in the same epoch."""
    wanted = {
        Stream.EV: realistic_events(60, 1),
        Stream.ROLL: realistic_rolls(300, 1),
        Stream.RAW: realistic_samples(1450, 1),
    }
    assert not list(upgraded.directory.glob("*damaged*"))
    for stream, records in wanted.items():
        found = [record.body for record in records_of(upgraded.store, upgraded.keys, stream)]
        assert found == [as_then(record.body) for record in records]


def test_the_old_release_s_word_is_heeded(upgraded: Probe) -> None:
    """Its last safe moment begins the gap, and what the server had counts as acked."""
    gap = upgraded.store.opening_gap(1_000)
    assert gap == Gap(1_000, GapReason.REBOOTED, BOOT, 777_000, 1_000)
    assert upgraded.store.acks()[Stream.RAW] == StreamAck(400)


def test_the_new_release_goes_on_in_the_same_chain(upgraded: Probe) -> None:
    """Numbers and the chain go on behind the old release's last record."""
    upgraded.commit(*samples(1, 30))
    upgraded.store.seal(Stream.RAW)
    found = records_of(upgraded.store, upgraded.keys, Stream.RAW)
    assert [record.body for record in found[1450:]] == samples(1, 30)
    upgraded.store.close()
    again = Probe(upgraded.directory, boot=NEXT_BOOT)
    again.commit(sample(31))
    again.store.seal(Stream.RAW)
    assert len(records_of(again.store, again.keys, Stream.RAW)) == 1481


def test_an_old_store_is_thinned_like_a_new_one(upgraded: Probe) -> None:
    """What is acked needs no gap; what is not is named by one."""
    thinned = upgraded.store.make_room(upgraded.now_ms)
    assert thinned is not None
    lost = [
        (gap.first_seq or 0, gap.last_seq or 0) for gap in thinned.gaps if gap.stream is Stream.RAW
    ]
    assert all(last > 400 for _, last in lost)
    held = [(h.first, h.last) for h in upgraded.store.held() if h.stream is Stream.RAW]
    covered = sorted({*range(1, 401), *(n for a, b in [*lost, *held] for n in range(a, b + 1))})
    assert covered == list(range(1, 1451))


def test_an_upgrade_that_is_cut_short_leaves_the_old_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one transaction: the next start does it again, and nothing is missing."""
    shutil.unpack_archive(OLD, tmp_path / "s")
    whole = upgrade._from_1

    def cut(connection: sqlite3.Connection) -> None:
        whole(connection)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(upgrade, "_from_1", cut)
        with pytest.raises(KeyboardInterrupt):
            Probe(tmp_path / "s", boot=NEXT_BOOT)
    after = Probe(tmp_path / "s", boot=NEXT_BOOT)
    assert after.store.counts().committed[Stream.RAW] == 1450
    assert after.store.acks()[Stream.RAW] == StreamAck(400)
