"""Records: which stream they belong to, what they can hold, how they are encoded."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core import details, judging, records, written
from linewatch_core.ids import BootId
from linewatch_core.records import Body, Gap, GapReason, Record, Stream, quantise_us, stream_of
from tests.support.record_strategies import EVENTS, ROLLS, SAMPLES


@given(
    st.sampled_from([(SAMPLES, Stream.RAW), (ROLLS, Stream.ROLL), (EVENTS, Stream.EV)]), st.data()
)
def test_each_body_has_its_stream(
    kind: tuple[st.SearchStrategy[Body], Stream], data: st.DataObject
) -> None:
    """Samples are raw, roll-ups roll, all else ev."""
    assert stream_of(data.draw(kind[0])) is kind[1]


@given(SAMPLES | ROLLS | EVENTS, st.integers(1, 2**62))
def test_a_record_survives_msgpack(body: Body, seq: int) -> None:
    """The tagged arrays come back as the same record."""
    record = Record(seq, body)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Record) == record


def test_a_reader_ignores_fields_that_a_later_release_appended() -> None:
    """Fields are only ever appended, so an old reader reads a new record."""
    gap = Gap(7, GapReason.KILLED, BootId("ab" * 16), 1, 7)
    array = [*msgspec.json.decode(msgspec.json.encode(gap)), "appended"]
    assert msgspec.json.decode(msgspec.json.encode(array), type=Gap) == gap


@pytest.mark.parametrize(
    ("time_us", "stored"),
    [(0, 0), (-3.0, 0), (4.9, 0), (5.1, 10), (14.9, 10), (1234.5, 1230), (1e7, 10_000_000)],
)
def test_times_are_stored_in_steps_of_ten_us(time_us: float, stored: int) -> None:
    """A stored time is a multiple of 10 µs, at most 5 µs off, and never negative."""
    assert quantise_us(time_us) == stored


def test_no_record_has_room_for_the_host() -> None:
    """Field names that would tell of the host or its place occur in no struct."""
    structs = written.Struct.__subclasses__()
    names = {name for kind in structs for name in kind.__struct_fields__}
    assert {records.Sample, details.TraceDetail, judging.CachedTruth} <= set(structs)
    forbidden = ("host", "mac", "imei", "imsi", "iccid", "cell", "ssid", "gateway", "place")
    assert not {name for name in names if any(word in name for word in forbidden)}


def test_records_cannot_be_changed() -> None:
    """What was written down stays as it was."""
    gap = Gap(7, GapReason.KILLED, BootId("ab" * 16), 1, 7)
    with pytest.raises(AttributeError, match="immutable"):
        gap.to_ms = 8  # type: ignore[misc]
