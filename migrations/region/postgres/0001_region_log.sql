-- The log of one region on PostgreSQL, in a schema of its own. Integer keys inside; times are UTC microseconds.
--
-- `place` is tenant_no << 40 | position, as on SQLite. What a sender may have written freely is BYTEA, because TEXT takes no
-- zero character, and one event must never keep a commit of many tenants from going through.

CREATE TABLE region (
    name TEXT PRIMARY KEY
);

-- The row that a commit locks: the compare-and-swap on the log's head is done under this lock, so no index has to be unique
-- over the partitions of `events`. None of the columns that change is indexed, so that an update stays on its page.
CREATE TABLE tenants (
    no         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         UUID   NOT NULL UNIQUE,
    head       BIGINT NOT NULL DEFAULT 0,
    -- When the event at the head was received.
    last_at    BIGINT NOT NULL DEFAULT 0,
    -- Every event up to here has been matched against every webhook; NULL before the first mark.
    dispatched BIGINT
) WITH (fillfactor = 60);

-- `seq` and `hash` are the end of the workspace's chain; seq is 0 while it is empty.
CREATE TABLE streams (
    no        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no BIGINT NOT NULL,
    id        UUID   NOT NULL,
    seq       BIGINT NOT NULL DEFAULT 0,
    hash      BYTEA,
    UNIQUE (tenant_no, id)
) WITH (fillfactor = 60);

-- Months are made ahead of their time; the last partition takes what fits no month.
CREATE TABLE events (
    place       BIGINT NOT NULL,
    stream_no   BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    device      UUID,
    kind        TEXT   COLLATE "C" NOT NULL,
    category    BYTEA,
    project     BYTEA,
    actor_id    BYTEA,
    dedup_id    BYTEA,
    body        BYTEA  NOT NULL,
    payload     BYTEA  NOT NULL
) PARTITION BY RANGE (received_at);

CREATE TABLE events_other PARTITION OF events DEFAULT;

CREATE INDEX events_by_place  ON events (place);
CREATE INDEX events_by_seq    ON events (stream_no, seq);
CREATE INDEX events_by_device ON events (device, place)       WHERE device IS NOT NULL;
CREATE INDEX events_by_dedup  ON events (stream_no, dedup_id) WHERE dedup_id IS NOT NULL;
-- A tenant's events with a dedup id, in the order of their positions: what its actor loads at its start.
CREATE INDEX events_deduped   ON events (place)               WHERE dedup_id IS NOT NULL;

CREATE TABLE tree_nodes (
    stream_no BIGINT   NOT NULL,
    level     SMALLINT NOT NULL,
    idx       BIGINT   NOT NULL,
    hash      BYTEA    NOT NULL,
    PRIMARY KEY (stream_no, level, idx)
);

CREATE TABLE idempotent_answers (
    tenant_no    BIGINT  NOT NULL,
    key_hash     BYTEA   NOT NULL,
    request_hash BYTEA   NOT NULL,
    status       INTEGER NOT NULL,
    expires_at   BIGINT  NOT NULL,
    body         BYTEA   NOT NULL,
    PRIMARY KEY (tenant_no, key_hash)
);

CREATE INDEX idempotent_answers_by_age ON idempotent_answers (expires_at);

CREATE TABLE webhook_progress (
    tenant_no  BIGINT  NOT NULL,
    webhook_no BIGINT  NOT NULL,
    cursor     BIGINT  NOT NULL,
    has_work   BOOLEAN NOT NULL,
    breaker    TEXT    NOT NULL,
    PRIMARY KEY (tenant_no, webhook_no)
) WITH (fillfactor = 60);

CREATE INDEX webhook_progress_with_work ON webhook_progress (tenant_no) WHERE has_work;

-- State: 0 pending, 1 retrying, 2 delivered, 3 dead.
CREATE TABLE exceptions (
    tenant_no   BIGINT   NOT NULL,
    webhook_no  BIGINT   NOT NULL,
    position    BIGINT   NOT NULL,
    state       SMALLINT NOT NULL,
    attempts    BIGINT   NOT NULL,
    at          BIGINT   NOT NULL,
    last_status INTEGER,
    last_error  BYTEA,
    PRIMARY KEY (tenant_no, webhook_no, position)
);

CREATE INDEX exceptions_retrying ON exceptions (tenant_no, webhook_no, at, position) WHERE state = 1;
CREATE INDEX exceptions_dead     ON exceptions (tenant_no, position, webhook_no)     WHERE state = 3;

CREATE TABLE attempts (
    tenant_no   BIGINT   NOT NULL,
    webhook_no  BIGINT   NOT NULL,
    position    BIGINT   NOT NULL,
    attempt     BIGINT   NOT NULL,
    at          BIGINT   NOT NULL,
    duration_us BIGINT   NOT NULL,
    status      INTEGER,
    state       SMALLINT NOT NULL,
    error       BYTEA,
    response    BYTEA    NOT NULL,
    PRIMARY KEY (tenant_no, webhook_no, position, attempt)
);

CREATE INDEX attempts_by_age ON attempts (at);

-- `workspace` is empty for a consumer of the whole tenant; `acked` holds positions of eight bytes each, big-endian.
CREATE TABLE consumers (
    tenant_no BIGINT NOT NULL,
    workspace BYTEA  NOT NULL,
    name      BYTEA  NOT NULL,
    cursor    BIGINT NOT NULL,
    acked     BYTEA  NOT NULL,
    PRIMARY KEY (tenant_no, workspace, name)
);

-- State: 0 running, 1 completed, 2 cancelled.
CREATE TABLE replays (
    tenant_no     BIGINT   NOT NULL,
    id            UUID     NOT NULL,
    webhook_no    BIGINT   NOT NULL,
    from_position BIGINT   NOT NULL,
    to_position   BIGINT   NOT NULL,
    types         TEXT     NOT NULL,
    only_failed   BOOLEAN  NOT NULL,
    cursor        BIGINT   NOT NULL,
    total         BIGINT   NOT NULL,
    done          BIGINT   NOT NULL,
    failed        BIGINT   NOT NULL,
    state         SMALLINT NOT NULL,
    created_at    BIGINT   NOT NULL,
    updated_at    BIGINT   NOT NULL,
    PRIMARY KEY (tenant_no, id)
);

CREATE INDEX replays_by_age     ON replays (tenant_no, created_at, id);
CREATE INDEX replays_by_webhook ON replays (tenant_no, webhook_no);

CREATE TABLE probe (
    no    INTEGER PRIMARY KEY,
    value BIGINT  NOT NULL
);
