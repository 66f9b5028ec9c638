-- The log of one region on SQLite. Integer keys inside; times are UTC microseconds.
--
-- `place` is tenant_no << 40 | position: a tenant's events lie next to each other in the order of their positions, an
-- append goes to the end of that range, and the primary key is the compare-and-swap on the log's head.

CREATE TABLE region (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
    no INTEGER PRIMARY KEY,
    id BLOB    NOT NULL UNIQUE
) STRICT;

CREATE TABLE streams (
    no        INTEGER PRIMARY KEY,
    tenant_no INTEGER NOT NULL,
    id        BLOB    NOT NULL,
    UNIQUE (tenant_no, id)
) STRICT;

-- Columns are what filters ask for; everything else of an event is in `body`, because each column of a row costs an
-- allocation when it is written and another when it is read. `payload` comes last: only its tail goes to overflow pages.
CREATE TABLE events (
    place       INTEGER PRIMARY KEY,
    stream_no   INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    category    TEXT,
    project     TEXT,
    actor_id    TEXT,
    dedup_id    TEXT,
    device      BLOB,
    body        BLOB    NOT NULL,
    payload     BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_by_seq ON events (stream_no, seq);
CREATE INDEX events_by_device ON events (device)              WHERE device IS NOT NULL;
CREATE INDEX events_by_dedup  ON events (stream_no, dedup_id) WHERE dedup_id IS NOT NULL;
-- A tenant's events with a dedup id, in the order of their positions: what its actor loads at its start.
CREATE INDEX events_deduped   ON events (place >> 40)         WHERE dedup_id IS NOT NULL;

CREATE TABLE tree_nodes (
    stream_no INTEGER NOT NULL,
    level     INTEGER NOT NULL,
    idx       INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    PRIMARY KEY (stream_no, level, idx)
) STRICT, WITHOUT ROWID;

-- Rows are appended and swept from the lowest `no` on, which is the oldest.
CREATE TABLE idempotent_answers (
    no           INTEGER PRIMARY KEY,
    tenant_no    INTEGER NOT NULL,
    key_hash     BLOB    NOT NULL,
    request_hash BLOB    NOT NULL,
    status       INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    body         BLOB    NOT NULL,
    UNIQUE (tenant_no, key_hash)
) STRICT;

CREATE TABLE dispatch (
    tenant_no INTEGER PRIMARY KEY,
    position  INTEGER NOT NULL
) STRICT;

CREATE TABLE webhook_progress (
    webhook_no INTEGER PRIMARY KEY,
    tenant_no  INTEGER NOT NULL,
    cursor     INTEGER NOT NULL,
    has_work   INTEGER NOT NULL,
    breaker    TEXT    NOT NULL
) STRICT;

CREATE INDEX webhook_progress_by_tenant ON webhook_progress (tenant_no, has_work);

-- State: 0 pending, 1 retrying, 2 delivered, 3 dead.
CREATE TABLE exceptions (
    webhook_no  INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    tenant_no   INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    last_status INTEGER,
    last_error  TEXT,
    PRIMARY KEY (webhook_no, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX exceptions_retrying ON exceptions (webhook_no, at)      WHERE state = 1;
CREATE INDEX exceptions_dead     ON exceptions (tenant_no, position) WHERE state = 3;

-- Appended and swept like the idempotent answers; large rows never move other rows about.
CREATE TABLE attempts (
    no          INTEGER PRIMARY KEY,
    webhook_no  INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    tenant_no   INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    status      INTEGER,
    state       INTEGER NOT NULL,
    error       TEXT,
    response    BLOB    NOT NULL,
    UNIQUE (webhook_no, position, attempt)
) STRICT;

-- `workspace` is empty for a consumer of the whole tenant; `acked` holds positions of eight bytes each, big-endian.
CREATE TABLE consumers (
    tenant_no INTEGER NOT NULL,
    workspace BLOB    NOT NULL,
    name      TEXT    NOT NULL,
    cursor    INTEGER NOT NULL,
    acked     BLOB    NOT NULL,
    PRIMARY KEY (tenant_no, workspace, name)
) STRICT, WITHOUT ROWID;

-- State: 0 running, 1 completed, 2 cancelled.
CREATE TABLE replays (
    id            BLOB    PRIMARY KEY,
    tenant_no     INTEGER NOT NULL,
    webhook_no    INTEGER NOT NULL,
    from_position INTEGER NOT NULL,
    to_position   INTEGER NOT NULL,
    types         TEXT    NOT NULL,
    only_failed   INTEGER NOT NULL,
    cursor        INTEGER NOT NULL,
    total         INTEGER NOT NULL,
    done          INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX replays_by_tenant  ON replays (tenant_no, created_at);
CREATE INDEX replays_by_webhook ON replays (webhook_no);

CREATE TABLE probe (
    no    INTEGER PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
