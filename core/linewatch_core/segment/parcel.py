"""A file of segments that a person carries when no line does: sealed and signed as they are.

Segments and key certificates one after the other, and a hash over all of it. A
damaged parcel gives what stands before the damage; its segments vouch for
themselves. Source: docs/wire-format.md, "Parcels".
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from linewatch_core.errors import MalformedError
from linewatch_core.segment.segment import SEGMENT_BYTES_MAX
from linewatch_core.segment.wire import Reader, varint

MAGIC = b"LWP1"
PARCEL_BYTES_MAX = 2 * 1024 * 1024
ITEM_BYTES_MAX = SEGMENT_BYTES_MAX
"""A message of key certificates is shorter, too."""
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a parcel holds.

    Attributes:
        items: segments and messages of key certificates, in order.
        damage: what is wrong with the file, or None; `items` is then what stood before it,
            and may hold something altered.
    """

    items: tuple[bytes, ...]
    damage: str | None


def encode_parcel(items: Sequence[bytes]) -> bytes:
    """Return a parcel of `items`, each of 1 to 65,536 bytes.

    Raises:
        ValueError: an item is empty or too long, or the parcel would be above 2 MiB.
    """
    if any(not 1 <= len(item) <= ITEM_BYTES_MAX for item in items):
        raise ValueError(f"an item of a parcel has 1 to {ITEM_BYTES_MAX} bytes")
    data = MAGIC + b"".join(varint(len(item)) + item for item in items)
    if len(data) + _HASH_BYTES > PARCEL_BYTES_MAX:
        raise ValueError(f"a parcel has at most {PARCEL_BYTES_MAX} bytes")
    return data + hashlib.sha256(data).digest()


def read_parcel(data: bytes) -> Parcel:
    """Return what can be read of a parcel, whatever `data` is; it raises nothing."""
    if len(data) > PARCEL_BYTES_MAX:
        return Parcel((), "it is too long for a parcel")
    content, told = data[:-_HASH_BYTES], data[-_HASH_BYTES:]
    is_whole = hashlib.sha256(content).digest() == told
    reader = Reader(content if is_whole else data, subject="parcel")
    items: list[bytes] = []
    try:
        if reader.take(len(MAGIC), "magic") != MAGIC:
            return Parcel((), "it does not begin as a parcel does")
        while reader.left:
            length = reader.varint("length")
            if not 1 <= length <= ITEM_BYTES_MAX:
                raise reader.error(f"an item of {length} bytes")
            items.append(reader.take(length, "item"))
    except MalformedError as error:
        return Parcel(tuple(items), str(error))
    return Parcel(tuple(items), None if is_whole else "its hash is another")
