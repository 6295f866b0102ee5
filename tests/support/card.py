"""A card as a person prepares it: a boot partition, a root with the agent's user, tokens."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from linewatch_core.enrolment import TOKEN_FORMAT, Token, encode_token
from linewatch_core.ids import probe_id_from_random

AGENT_UID = 23_456
PEM = "-----BEGIN {0}-----\n" + "MHcCAQEEIJq2v0u7yJ3k9YbV4m8c5d1e\n" * 12 + "-----END {0}-----\n"


def token_text(number: int = 1, *, expires: datetime = datetime(2099, 1, 1, tzinfo=UTC)) -> str:
    """Return a token file's text; the same number is the same token."""
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    name = "".join(digits[number >> 5 * n & 31] for n in range(16))
    token = Token(
        format=TOKEN_FORMAT,
        token=f"t-{name}",
        probe=probe_id_from_random(number.to_bytes(10, "big")),
        secret="s" * 43,
        expires=expires,
        endpoints=("mqtts://probes.example.org:8883",),
        recipients=(bytes(32),),
        ack_key=bytes(32),
        authority=PEM.format("CERTIFICATE"),
        certificate=PEM.format("CERTIFICATE"),
        key=PEM.format("PRIVATE KEY"),
    )
    return encode_token(token)


@dataclass(frozen=True, slots=True)
class CardFolders:
    """Where a test's card is: `boot` its first partition, `root` the system's."""

    boot: Path
    root: Path

    @property
    def config(self) -> Path:
        """The configuration that the agent reads."""
        return self.root / "etc/linewatch/linewatch.toml"

    @property
    def profiles(self) -> Path:
        """NetworkManager's own folder of profiles."""
        return self.root / "etc/NetworkManager/system-connections"

    @property
    def identity(self) -> Path:
        """What the token became."""
        return self.root / "var/lib/linewatch/identity"

    @property
    def problem(self) -> Path:
        """What a person finds on the card when something is wrong."""
        return self.boot / "linewatch-problem.txt"

    def put(self, name: str, text: str | bytes) -> Path:
        """Put a file on the boot partition."""
        path = self.boot / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def tree(self) -> dict[str, tuple[int, int, bytes]]:
        """Return every file of both: name to mode, owner and content."""
        return {
            str(path): (path.stat().st_mode, path.stat().st_uid, path.read_bytes())
            for top in (self.boot, self.root)
            for path in sorted(top.rglob("*"))
            if path.is_file()
        }


@contextmanager
def card_folders() -> Iterator[CardFolders]:
    """Yield the folders of a card; pytest's own are closed to the agent's user."""
    with tempfile.TemporaryDirectory(prefix="linewatch-card-") as name:
        top = Path(name)
        top.chmod(0o755)
        folders = CardFolders(top / "boot", top / "root")
        folders.boot.mkdir()
        (folders.root / "etc").mkdir(parents=True)
        uid = AGENT_UID if os.getuid() == 0 else os.getuid()
        line = f"linewatch:x:{uid}:{uid}::/var/lib/linewatch:/usr/sbin/nologin\n"
        (folders.root / "etc/passwd").write_text(line)
        yield folders
