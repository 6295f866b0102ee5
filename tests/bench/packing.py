"""CPU time of packing records, as the agent does it: prints ratios, asserts nothing.

Run: python -m tests.bench.packing. Each sample is packed twice, in its commit's frame
and in its segment. The yardstick is the same records as plain msgpack under zlib, in
the same portions: what a store without a format of its own would pay. Least of several
rounds, alternating, in one process.
"""

import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from linewatch_core.records import Record
from linewatch_core.segment.codec import decode_block, encode_block
from tests.support.records import realistic_rolls, realistic_samples

COUNT = 6_000
COMMIT, SEGMENT = 60, 200
ROUNDS = 12


def main() -> None:
    """Print microseconds a record of each, and the ratios."""
    for name, make in (("raw", realistic_samples), ("roll", realistic_rolls)):
        records = make(COUNT, 3)
        portions = list(_portions(records))
        blocks = [encode_block(portion) for portion in portions]
        plain = [_plain(portion) for portion in portions]
        packed_s, plain_s, read_s, plain_read_s = _least_s(
            (encode_block, portions),
            (_plain, portions),
            (decode_block, blocks),
            (_read_plain, plain),
        )
        print(
            f"{name}: packed for journal and segment {_us(packed_s):.1f} us a record, "
            f"{packed_s / plain_s:.2f} times plain msgpack and zlib, "
            f"{sum(map(len, blocks)) / sum(map(len, plain)):.2f} times its bytes; "
            f"read {_us(read_s):.1f} us, {read_s / plain_read_s:.2f} times"
        )


def _portions(records: Sequence[Record]) -> list[Sequence[Record]]:
    found = []
    for start in range(0, len(records), SEGMENT):
        segment = records[start : start + SEGMENT]
        found += [segment[at : at + COMMIT] for at in range(0, len(segment), COMMIT)]
        found.append(segment)
    return found


def _plain(records: Sequence[Record]) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(records), 9)


def _read_plain(data: bytes) -> list[Record]:
    return msgspec.msgpack.decode(zlib.decompress(data), type=list[Record])


def _least_s(*works: tuple[Callable[[Any], object], Sequence[Any]]) -> list[float]:
    """Return the least CPU time in s of each function over its values, run in turn."""
    least = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for place, (act, values) in enumerate(works):
            start_s = time.process_time()
            for value in values:
                act(value)
            least[place] = min(least[place], time.process_time() - start_s)
    return least


def _us(total_s: float) -> float:
    return total_s / COUNT * 1e6


if __name__ == "__main__":
    main()
