"""What root remembers of releases, and tells the agent. Standard library only.

Everybody may read it, root alone writes it; a damaged one counts as empty.
"""

import json
from dataclasses import dataclass, replace

from linewatch_agent.durable import write_whole
from linewatch_agent.releases.places import Places

MEMORY_FILE = "memory.json"
READABLE = 0o644
_BYTES_MAX = 64 * 1024
_FAILED_MAX = 100


@dataclass(frozen=True, slots=True)
class Memory:
    """What was taken, what failed, what was refused.

    Attributes:
        taken_s: when the newest manifest that was taken was signed, in seconds of UTC.
        failed: versions that did not prove themselves, oldest first.
        refused: the SHA-256 of the manifest that root refused last; "" for none.
        reason: why, in words.
    """

    taken_s: int = 0
    failed: tuple[str, ...] = ()
    refused: str = ""
    reason: str = ""

    def took(self, created_s: int) -> "Memory":
        """Return the memory after a manifest signed then was taken."""
        return replace(self, taken_s=max(self.taken_s, created_s))

    def with_failed(self, version: str, created_s: int) -> "Memory":
        """Return the memory after a release was rolled back."""
        failed = (*(one for one in self.failed if one != version), version)
        return replace(self.took(created_s), failed=failed[-_FAILED_MAX:])

    def with_refused(self, manifest_sha256: str, reason: str) -> "Memory":
        """Return the memory after root refused what the agent brought."""
        return replace(self, refused=manifest_sha256, reason=reason)


def read_memory(places: Places) -> Memory:
    """Return what is remembered."""
    try:
        with (places.state / MEMORY_FILE).open("rb") as file:
            said = json.loads(file.read(_BYTES_MAX))
        return Memory(
            int(said["taken_s"]),
            tuple(map(str, said["failed"])),
            str(said["refused"]),
            str(said["reason"]),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Memory()


def write_memory(places: Places, memory: Memory) -> None:
    """Remember durably; OSError if it can't be written."""
    places.state.mkdir(mode=0o755, parents=True, exist_ok=True)
    said = {
        "taken_s": memory.taken_s,
        "failed": list(memory.failed),
        "refused": memory.refused,
        "reason": memory.reason,
    }
    write_whole(places.state / MEMORY_FILE, json.dumps(said).encode(), mode=READABLE)
