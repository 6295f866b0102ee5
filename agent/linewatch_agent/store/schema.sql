-- The probe's store. Nothing here reads as a result: frames and bodies are sealed.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a stream: where its chain of segments ends, and what the server has.
-- The journal's frames go on from next_seq.
CREATE TABLE stream (
    stream        TEXT PRIMARY KEY,
    next_seq      INTEGER NOT NULL,
    next_position INTEGER NOT NULL,
    head_sha256   BLOB NOT NULL,
    ack_through   INTEGER NOT NULL,
    ack_holes     TEXT NOT NULL,
    ack_log       TEXT NOT NULL -- plan/retention.py: since when how much is acked
) STRICT, WITHOUT ROWID;

-- The block that is being filled: its key's wraps, written with the first frame.
CREATE TABLE block (
    stream TEXT PRIMARY KEY,
    boot   TEXT NOT NULL,
    wraps  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- No index: there are few, and a second page in each commit would double what it writes.
CREATE TABLE frame (
    id         INTEGER PRIMARY KEY,
    stream     TEXT NOT NULL,
    counter    INTEGER NOT NULL,
    first_seq  INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL,
    mono_first INTEGER NOT NULL,
    mono_last  INTEGER NOT NULL,
    data       BLOB NOT NULL
) STRICT;

-- A thinned segment keeps its signed header; its body is NULL and its body_bytes 0.
CREATE TABLE segment (
    id        INTEGER PRIMARY KEY,
    stream    TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    header    BLOB NOT NULL,
    body      BLOB,
    body_bytes INTEGER NOT NULL
) STRICT;

-- Covering: counting and listing a full store must not read its bodies.
CREATE UNIQUE INDEX segment_range ON segment (stream, first_seq, last_seq, body_bytes);
