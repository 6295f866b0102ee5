"""SQL of the probes' signing keys: a `KeyBook` in, a `KeyBook` out."""

import sqlite3
from itertools import groupby

from linewatch_core.errors import MalformedError
from linewatch_core.ids import ProbeId
from linewatch_core.segment.keychain import encode_certificates, parse_certificates
from linewatch_core.segment.signing import KeyId, key_id
from linewatch_server.model.entries import parse_enrolment, parse_keys
from linewatch_server.model.keybook import KeyBook


def load_keys(db: sqlite3.Connection, probe: ProbeId) -> KeyBook:
    """Return what is known of a probe's keys; trusted as stored, since it was verified then."""
    rows = db.execute(
        "SELECT chain, public_key FROM signing_keys WHERE probe = ? ORDER BY chain, position",
        (probe,),
    )
    chains = [[public for _, public in group] for _, group in groupby(rows, lambda row: row[0])]
    waiting = db.execute(
        "SELECT certificate FROM waiting_certificates WHERE probe = ? ORDER BY certificate",
        (probe,),
    )
    return KeyBook(chains, [c for (data,) in waiting for c in parse_certificates(data)])


def apply_enrolment(db: sqlite3.Connection, payload: bytes, arrival_ms: int) -> ProbeId:
    """Store an enrolled root; return its probe. MalformedError if the payload is none."""
    enrolment = parse_enrolment(payload)
    book = load_keys(db, enrolment.probe)
    before = len(book.chains)
    book.enrol(enrolment.signing_key)
    if len(book.chains) > before:
        db.execute("INSERT INTO enrolments VALUES (?, ?, ?)", (enrolment.probe, before, arrival_ms))
    _save(db, enrolment.probe, book)
    return enrolment.probe


def apply_keys(db: sqlite3.Connection, payload: bytes) -> ProbeId:
    """Store the certificates of a message; return its probe. MalformedError if it is none."""
    keys = parse_keys(payload)
    certificates = parse_certificates(keys.message)
    if any(certificate.probe != keys.probe for certificate in certificates):
        raise MalformedError("a probe sent key certificates of another probe")
    book = load_keys(db, keys.probe)
    book.certify(certificates)
    _save(db, keys.probe, book)
    return keys.probe


def find_key(db: sqlite3.Connection, probe: ProbeId, signer: KeyId) -> bytes | None:
    """Return a probe's public key by its id, or None."""
    row = db.execute(
        "SELECT public_key FROM signing_keys WHERE probe = ? AND key_id = ?", (probe, signer)
    ).fetchone()
    return None if row is None else bytes(row[0])


def keys_in_turn(db: sqlite3.Connection, probe: ProbeId) -> dict[KeyId, bytes]:
    """Return a probe's public keys by their id, in the order in which they came to sign."""
    rows = db.execute(
        "SELECT key_id, public_key FROM signing_keys WHERE probe = ? ORDER BY chain, position",
        (probe,),
    )
    return {KeyId(name): bytes(public) for name, public in rows}


def newest_key(db: sqlite3.Connection, probe: ProbeId) -> KeyId | None:
    """Return the id of the last key of the probe's last chain, or None."""
    row = db.execute(
        "SELECT key_id FROM signing_keys WHERE probe = ?"
        " ORDER BY chain DESC, position DESC LIMIT 1",
        (probe,),
    ).fetchone()
    return None if row is None else KeyId(row[0])


def _save(db: sqlite3.Connection, probe: ProbeId, book: KeyBook) -> None:
    db.executemany(
        "INSERT INTO signing_keys VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (probe, number, position, key_id(public), public)
            for number, chain in enumerate(book.chains)
            for position, public in enumerate(chain)
        ],
    )
    db.execute("DELETE FROM waiting_certificates WHERE probe = ?", (probe,))
    db.executemany(
        "INSERT INTO waiting_certificates VALUES (?, ?)",
        [(probe, encode_certificates([certificate])) for certificate in book.waiting],
    )
