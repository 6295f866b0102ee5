"""Which probes there are, and which tokens were given out.

Primary data, not a projection of the archive: back it up. One SQLite file, safe
to use from several processes at once; each call is one short transaction. Knows
no certificate format beyond text and serial numbers, and reads no clock.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from linewatch_core.ids import ProbeId
from linewatch_server.settings import SetupError

BUSY_TIMEOUT_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS probes (
    probe TEXT PRIMARY KEY,
    label TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    enrolled_ms INTEGER,
    serial TEXT,
    certificate TEXT,
    key_der BLOB,
    signing_key BLOB,
    revoked_ms INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS tokens (
    token TEXT PRIMARY KEY,
    probe TEXT NOT NULL REFERENCES probes (probe),
    secret_sha256 BLOB NOT NULL,
    serial TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_ms INTEGER
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe as registered.

    Attributes:
        label: what the operator calls it; never leaves the server.
        enrolled_at: when it got its certificate; None: its token is still open.
        certificate, serial: what it got (PEM and serial number).
        key_der: the public key in that certificate.
        signing_key: its first Ed25519 public key; later ones are signed by it.
        revoked_at: from when on it is no longer believed.
    """

    probe: ProbeId
    label: str
    created_at: datetime
    enrolled_at: datetime | None
    serial: int | None
    certificate: str | None
    key_der: bytes | None
    signing_key: bytes | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """One token as given out; of its secret only the hash is kept."""

    token: str
    probe: ProbeId
    secret_sha256: bytes
    serial: int
    expires_at: datetime
    used_at: datetime | None


class Registry:
    """The registry in one file; holds no connection between calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._connection() as db:
            db.executescript(_SCHEMA)

    def add_token(self, entry: TokenEntry, *, label: str, now: datetime) -> None:
        """Register a new probe and the token that will enrol it."""
        with self._connection() as db:
            db.execute(
                "INSERT INTO probes (probe, label, created_ms) VALUES (?, ?, ?)",
                (entry.probe, label, _ms(now)),
            )
            db.execute(
                "INSERT INTO tokens (token, probe, secret_sha256, serial, created_ms, expires_ms)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    entry.token,
                    entry.probe,
                    entry.secret_sha256,
                    f"{entry.serial:x}",
                    _ms(now),
                    _ms(entry.expires_at),
                ),
            )

    def token(self, token: str) -> TokenEntry | None:
        """Return a token, or None."""
        with self._connection() as db:
            row = db.execute("SELECT * FROM tokens WHERE token = ?", (token,)).fetchone()
        return None if row is None else _token(row)

    def complete(
        self,
        token: str,
        *,
        certificate: str,
        serial: int,
        key_der: bytes,
        signing_key: bytes,
        now: datetime,
    ) -> bool:
        """Store what a probe was given, once; return False if its token was used before."""
        with self._connection() as db:
            marked = db.execute(
                "UPDATE tokens SET used_ms = ? WHERE token = ? AND used_ms IS NULL",
                (_ms(now), token),
            )
            if marked.rowcount != 1:
                return False
            db.execute(
                "UPDATE probes SET enrolled_ms = ?, serial = ?, certificate = ?, key_der = ?,"
                " signing_key = ? WHERE probe = (SELECT probe FROM tokens WHERE token = ?)",
                (_ms(now), f"{serial:x}", certificate, key_der, signing_key, token),
            )
        return True

    def revoke(self, probe: ProbeId, *, now: datetime) -> Probe:
        """Stop believing a probe from now on (again: keeps the first time).

        Raises:
            SetupError: there is no such probe.
        """
        with self._connection() as db:
            db.execute(
                "UPDATE probes SET revoked_ms = coalesce(revoked_ms, ?) WHERE probe = ?",
                (_ms(now), probe),
            )
        found = self.probe(probe)
        if found is None:
            raise SetupError(
                f"cannot revoke {probe}: no such probe; see them with: linewatch-server fleet"
            )
        return found

    def probe(self, probe: str) -> Probe | None:
        """Return a probe, or None."""
        with self._connection() as db:
            row = db.execute("SELECT * FROM probes WHERE probe = ?", (probe,)).fetchone()
        return None if row is None else _probe(row)

    def probes(self) -> list[Probe]:
        """Return all probes, oldest first."""
        with self._connection() as db:
            rows = db.execute("SELECT * FROM probes ORDER BY created_ms, probe").fetchall()
        return [_probe(row) for row in rows]

    def live_count(self) -> int:
        """Return how many probes are enrolled and not revoked."""
        with self._connection() as db:
            row = db.execute(
                "SELECT count(*) FROM probes WHERE enrolled_ms IS NOT NULL AND revoked_ms IS NULL"
            ).fetchone()
        return int(row[0])

    def is_live(self, probe: str) -> bool:
        """Return whether a probe is enrolled and not revoked."""
        found = self.probe(probe)
        return found is not None and found.enrolled_at is not None and found.revoked_at is None

    def revoked_names(self) -> list[str]:
        """Return the common names (probes and tokens) that the broker must refuse, sorted."""
        return sorted(str(row[0]) for row in self._revoked())

    def revoked_serials(self) -> list[int]:
        """Return the serial numbers that belong on the revocation list, sorted."""
        return sorted(int(row[1], 16) for row in self._revoked() if row[1] is not None)

    def _revoked(self) -> list[tuple[str, str | None]]:
        with self._connection() as db:
            rows = db.execute(
                "SELECT probe, serial FROM probes WHERE revoked_ms IS NOT NULL UNION ALL"
                " SELECT token, tokens.serial FROM tokens JOIN probes USING (probe)"
                " WHERE revoked_ms IS NOT NULL"
            ).fetchall()
        return [(row[0], row[1]) for row in rows]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S)) as db:
                db.row_factory = sqlite3.Row
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA foreign_keys = ON")
                with db:
                    yield db
        except sqlite3.DatabaseError as error:
            raise SetupError(f"cannot use the registry {self._path}: {error}") from error


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(value: int | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value / 1000, UTC)


def _probe(row: sqlite3.Row) -> Probe:
    return Probe(
        probe=ProbeId(row["probe"]),
        label=row["label"],
        created_at=datetime.fromtimestamp(row["created_ms"] / 1000, UTC),
        enrolled_at=_moment(row["enrolled_ms"]),
        serial=None if row["serial"] is None else int(row["serial"], 16),
        certificate=row["certificate"],
        key_der=row["key_der"],
        signing_key=row["signing_key"],
        revoked_at=_moment(row["revoked_ms"]),
    )


def _token(row: sqlite3.Row) -> TokenEntry:
    return TokenEntry(
        token=row["token"],
        probe=ProbeId(row["probe"]),
        secret_sha256=row["secret_sha256"],
        serial=int(row["serial"], 16),
        expires_at=datetime.fromtimestamp(row["expires_ms"] / 1000, UTC),
        used_at=_moment(row["used_ms"]),
    )
