-- Who works for whom, when several nodes share the control plane. Moments are the database's own, from `database_clock`.

-- A node's process for as long as it lives: its heartbeat moves `expires_at`. A row that is gone never comes back.
CREATE TABLE node_sessions (
    id         TEXT   NOT NULL PRIMARY KEY,
    node       TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- What a session owns. A lease is free when its session is null, or when that session's row is gone: so that the end of a
-- session frees all its leases at once. Rows stay for ever, because a fence never goes back.
CREATE TABLE leases (
    kind    TEXT   NOT NULL,
    key     TEXT   NOT NULL,
    session TEXT,
    node    TEXT   NOT NULL,
    fence   BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);

CREATE INDEX leases_by_session ON leases (session, kind, key) WHERE session IS NOT NULL;
