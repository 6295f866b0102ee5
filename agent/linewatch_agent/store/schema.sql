-- The probe's store. Nothing here reads as a result: frames and bodies are sealed.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- What changes with every commit, in one small table: it is one page of each of them. Keys:
-- `last` (up to where all was kept); of each stream `chain.STREAM` (where its chain of segments
-- ends, and what the server has) and `block.STREAM` (the block that is being filled: its boot
-- and its key's wraps; empty if there is none). The journal's frames go on from the chain's end.
CREATE TABLE state (
    key   TEXT NOT NULL,
    value BLOB NOT NULL
) STRICT;

-- No index: there are few, and a second page in each commit would double what it writes.
-- Those before the chain's end are in a segment: the next block's go in their place.
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
