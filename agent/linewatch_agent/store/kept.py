"""Small values of others that outlive a restart, and the count of connections."""

from linewatch_agent.store.database import Database

_CONN_STEP = 64
"""Connection numbers are reserved so many at a time: a full disk must not keep us from sending."""


class Kept:
    """Named values in the store's own file; each call is a transaction of its own."""

    def __init__(self, db: Database) -> None:
        """Read the count of connections; call it inside `reading`."""
        self._db = db
        self._conn = self._conn_reserved = int(db.get("conn") or 0)

    def remember(self, name: str, value: bytes) -> None:
        """Keep a small named value, durably. It must tell nothing of what was measured."""
        with self._db.transaction():
            self._db.set(f"kept.{name}", value)

    def recall(self, name: str) -> bytes | None:
        """Return what `remember` kept under a name, or None."""
        with self._db.reading():
            value = self._db.get(f"kept.{name}")
        return value if isinstance(value, bytes) else None

    def next_conn(self) -> int:
        """Return a connection number above all before, also after a power cut."""
        if self._conn == self._conn_reserved:
            with self._db.transaction():
                self._db.set("conn", self._conn + _CONN_STEP)
            self._conn_reserved += _CONN_STEP
        self._conn += 1
        return self._conn
