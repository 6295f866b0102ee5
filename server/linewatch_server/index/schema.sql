-- Projections of the archive. Nothing here is primary: `linewatch-server rebuild`
-- makes all of it anew. Columns pack, place and arrival_ms tell where and when
-- something was archived; all others do not depend on the order of arrival.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE enrolments (
    probe TEXT NOT NULL,
    chain INTEGER NOT NULL,           -- 0 for the first root, 1 for a second card's ...
    arrival_ms INTEGER NOT NULL,
    PRIMARY KEY (probe, chain)
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
    probe TEXT NOT NULL,
    chain INTEGER NOT NULL,
    position INTEGER NOT NULL,        -- 0 is the enrolled root
    key_id TEXT NOT NULL,
    public_key BLOB NOT NULL,
    PRIMARY KEY (probe, chain, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE waiting_certificates (
    probe TEXT NOT NULL,
    certificate BLOB NOT NULL,
    PRIMARY KEY (probe, certificate)
) STRICT, WITHOUT ROWID;

CREATE TABLE segments (
    probe TEXT NOT NULL,
    epoch TEXT NOT NULL,
    stream TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    boot TEXT NOT NULL,
    mono_first_ms INTEGER NOT NULL,
    mono_last_ms INTEGER NOT NULL,
    header_sha256 BLOB NOT NULL,
    header BLOB NOT NULL,
    state TEXT NOT NULL,              -- opened, sealed, unreadable
    problem TEXT,                     -- why it is unreadable
    pack INTEGER NOT NULL,
    place INTEGER NOT NULL,
    arrival_ms INTEGER NOT NULL,
    PRIMARY KEY (probe, epoch, stream, first_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX segments_by_position ON segments (probe, epoch, stream, position);
CREATE INDEX segments_by_mono ON segments (probe, epoch, boot, stream, mono_first_ms);

CREATE TABLE coverage (               -- the segments' numbers, as merged ranges
    probe TEXT NOT NULL,
    epoch TEXT NOT NULL,
    stream TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    PRIMARY KEY (probe, epoch, stream, first_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE stream_totals (
    probe TEXT NOT NULL,
    epoch TEXT NOT NULL,
    stream TEXT NOT NULL,
    state TEXT NOT NULL,
    records INTEGER NOT NULL,
    PRIMARY KEY (probe, epoch, stream, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE arrivals (
    probe TEXT PRIMARY KEY,
    arrival_ms INTEGER NOT NULL       -- of the newest segment
) STRICT, WITHOUT ROWID;

CREATE TABLE unverified (             -- segments whose signing key is not known yet
    pack INTEGER NOT NULL,
    place INTEGER NOT NULL,
    probe TEXT NOT NULL,
    key_id TEXT NOT NULL,
    PRIMARY KEY (pack, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX unverified_by_probe ON unverified (probe);

CREATE TABLE quarantine (             -- kept, not believed
    pack INTEGER NOT NULL,
    place INTEGER NOT NULL,
    arrival_ms INTEGER NOT NULL,
    probe TEXT NOT NULL,
    reason TEXT NOT NULL,
    byte_count INTEGER NOT NULL,
    epoch TEXT,                       -- these four: if it is a segment signed by the probe
    stream TEXT,
    first_seq INTEGER,
    last_seq INTEGER,
    PRIMARY KEY (pack, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX quarantine_by_chain ON quarantine (probe, epoch, stream);

CREATE TABLE boots (
    probe TEXT NOT NULL,
    epoch TEXT NOT NULL,
    boot TEXT NOT NULL,
    ev_first_seq INTEGER,             -- orders the boots of an epoch; NULL until `ev` names it
    mono_first_ms INTEGER NOT NULL,
    mono_last_ms INTEGER NOT NULL,
    PRIMARY KEY (probe, epoch, boot)
) STRICT, WITHOUT ROWID;

-- The records of `ev`, a table for each kind.

CREATE TABLE starts (
    probe TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (probe, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE anchors (
    probe TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
    utc_ms INTEGER NOT NULL,
    error_ms INTEGER NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (probe, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE transitions (
    probe TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
    line TEXT NOT NULL,
    target TEXT,
    verdict_before TEXT NOT NULL,
    verdict_after TEXT NOT NULL,
    earliest_ms INTEGER NOT NULL,
    latest_ms INTEGER NOT NULL,
    rule_name TEXT NOT NULL,
    rule_version INTEGER NOT NULL,
    samples TEXT NOT NULL,            -- JSON array of raw sequence numbers
    PRIMARY KEY (probe, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
    probe TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    from_boot TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL,
    line TEXT,
    stream TEXT,
    first_seq INTEGER,
    last_seq INTEGER,
    PRIMARY KEY (probe, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE line_changes (
    probe TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
    line TEXT NOT NULL,
    kind TEXT NOT NULL,
    usable INTEGER NOT NULL,
    families TEXT NOT NULL,           -- JSON array
    problems TEXT NOT NULL,           -- JSON array
    operator TEXT,
    PRIMARY KEY (probe, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE configs (
    probe TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    period_ms INTEGER NOT NULL,
    targets TEXT NOT NULL,            -- JSON array of [id, role, [checks]]
    settings TEXT,                    -- JSON array, as VerdictSettings; NULL: of an older release
    PRIMARY KEY (probe, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE truths (
    probe TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
    truth TEXT NOT NULL,              -- JSON array, as CachedTruth
    PRIMARY KEY (probe, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE budget_steps (
    probe TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
    line TEXT NOT NULL,
    step INTEGER NOT NULL,
    PRIMARY KEY (probe, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE modem_resets (
    probe TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL,
    line TEXT NOT NULL,
    step TEXT NOT NULL,
    trouble TEXT NOT NULL,
    done INTEGER NOT NULL,
    PRIMARY KEY (probe, epoch, seq)
) STRICT, WITHOUT ROWID;

-- What other tables need of all configurations and samples.

CREATE TABLE gateways (               -- targets that any configuration called a line's gateway
    probe TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (probe, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE modem_states (           -- what a line's modem said last in a boot
    probe TEXT NOT NULL,
    epoch TEXT NOT NULL,
    boot TEXT NOT NULL,
    line TEXT NOT NULL,
    mono_ms INTEGER NOT NULL,
    seq INTEGER NOT NULL,             -- of the sample, in `raw`
    detail TEXT NOT NULL,             -- JSON array, as ModemDetail
    PRIMARY KEY (probe, epoch, boot, line)
) STRICT, WITHOUT ROWID;

-- Checks counted by five minutes of a boot's clock: decision 0007.

CREATE TABLE rollups (
    probe TEXT NOT NULL,
    epoch TEXT NOT NULL,
    boot TEXT NOT NULL,
    time_window INTEGER NOT NULL,     -- slot_ms / 300,000
    line TEXT NOT NULL,
    target TEXT NOT NULL,
    check_name TEXT NOT NULL,
    source TEXT NOT NULL,             -- raw: from samples; probe: from its own roll records
    sent INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    failures TEXT NOT NULL,           -- JSON object, names sorted
    rtts BLOB NOT NULL,               -- raw: every time, u32 little-endian, in 10 us, ascending
    summaries BLOB NOT NULL,          -- probe: (answered, min, median, p95) in us, as u32
    PRIMARY KEY (probe, epoch, boot, time_window, line, target, check_name, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE line_windows (           -- rollups summed over all targets but gateways, the fuller
                                      -- source of each
    probe TEXT NOT NULL,
    epoch TEXT NOT NULL,
    boot TEXT NOT NULL,
    time_window INTEGER NOT NULL,
    line TEXT NOT NULL,
    sent INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    PRIMARY KEY (probe, epoch, boot, time_window, line)
) STRICT, WITHOUT ROWID;
