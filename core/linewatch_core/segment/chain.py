"""The chain that ties each segment to the one before, per probe, epoch and stream.

Pure comparisons of headers. Signatures are checked elsewhere; both are needed.
Source: docs/wire-format.md, "Chain".
"""

from dataclasses import dataclass

from linewatch_core.errors import ChainError
from linewatch_core.segment.header import NO_HASH, Header, header_sha256


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where a chain goes on: the place, hash and seq that the next segment must have."""

    next_position: int
    previous_sha256: bytes
    next_seq: int


CHAIN_START = ChainHead(0, NO_HASH, 1)
"""The head of a chain without a segment."""


def head_after(header: Header) -> ChainHead:
    """Return the head of the chain that ends with `header`."""
    return ChainHead(header.position + 1, header_sha256(header), header.last_seq + 1)


def check_follows(previous: Header, following: Header) -> None:
    """Raise ChainError unless `following` is what comes right after `previous`.

    Their times are not compared, not even within a boot: a change of a line's state is
    dated by the round that decided it, and is recorded when its samples are committed, perhaps
    after an event of a later moment. In a segment of its own it ends before that one began.
    """
    where = f"{following.stream}/{following.position}"
    for name in ("probe", "epoch", "stream"):
        if getattr(previous, name) != getattr(following, name):
            raise ChainError(f"cannot chain segment {where}: it is of another {name}")
    head = head_after(previous)
    if following.position != head.next_position:
        raise ChainError(f"cannot chain segment {where}: {head.next_position} comes next")
    if following.previous_sha256 != head.previous_sha256:
        raise ChainError(f"cannot chain segment {where}: it names another predecessor")
    if following.first_seq != head.next_seq:
        raise ChainError(
            f"cannot chain segment {where}: it begins with seq {following.first_seq}, "
            f"expected {head.next_seq}"
        )
