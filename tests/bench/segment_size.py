"""Prints bytes a record of sealed, signed segments: `python -m tests.bench.segment_size`.

Beside them: the same samples as JSON lines under zlib, which is neither sealed
nor signed. The bars: 6 bytes a record at 200, 0.5 MB for 77,760 records.
Deterministic, so that no clock is in it.
"""

import zlib
from collections.abc import Callable, Sequence

import msgspec

from linewatch_core.records import Record
from linewatch_core.segment.chain import ChainHead
from tests.support.records import realistic_events, realistic_rolls, realistic_samples
from tests.support.segments import ChainBuilder, derived_bytes

SIZES = (1, 10, 60, 200)
SEEDS = range(20)
THREE_DAYS = 77_760
PER_SEGMENT = 200


def main() -> None:
    """Print the table and the three days."""
    print("bytes a record, sealed and signed (mean and worst of 20 seeds) / JSON lines + zlib")
    makers = {"raw": realistic_samples, "roll": realistic_rolls, "ev": realistic_events}
    for name, make in makers.items():
        for count in SIZES:
            sealed, json_lines = _sizes(make, count)
            mean = sum(sealed) / len(sealed) / count
            worst = max(sealed) / count
            plain = sum(json_lines) / len(json_lines) / count
            print(f"{name:5} {count:4} records: {mean:7.2f} {worst:7.2f} / {plain:7.2f}")
    total = three_days_bytes()
    segments = -(-THREE_DAYS // PER_SEGMENT)
    print(f"{THREE_DAYS} samples in {segments} segments: {total} bytes (bar 500000)")


def three_days_bytes() -> int:
    """Return the size of 77,760 samples in segments of 200, chained."""
    chain = ChainBuilder()
    records = realistic_samples(THREE_DAYS, 1)
    starts = range(0, THREE_DAYS, PER_SEGMENT)
    return sum(len(chain.close(records[at : at + PER_SEGMENT])) for at in starts)


def _sizes(make: Callable[..., list[Record]], count: int) -> tuple[list[int], list[int]]:
    first_seq = 40_001
    sealed, json_lines = [], []
    for seed in SEEDS:
        records = make(count, seed, first_seq=first_seq)
        chain = ChainBuilder(head=ChainHead(200, derived_bytes("before"), first_seq))
        sealed.append(len(chain.close(records)))
        json_lines.append(len(zlib.compress(_json_lines(records), 9)))
    return sealed, json_lines


def _json_lines(records: Sequence[Record]) -> bytes:
    # As a tracker without this format would send them: named fields, one line a record.
    return b"\n".join(
        msgspec.json.encode(
            {
                "seq": record.seq,
                "type": record.body.__struct_config__.tag,
                **{name: getattr(record.body, name) for name in record.body.__struct_fields__},
            }
        )
        for record in records
    )


if __name__ == "__main__":
    main()
