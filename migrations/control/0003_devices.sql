-- Devices as their owners configured them, and where each one's session stands. No payload, and no secret: what a connector
-- keeps with the engine lies sealed in the region's log.

-- `fence` is that of the last session, 0 if there was none; `node`, `session` and `boot` say whose it is. `boot` is null while
-- no session is open. A session of a node that shares the control plane with others ends with the row of its `session`;
-- that of a node alone, whose `session` is null, ends with the process that `boot` names.
CREATE TABLE devices (
    id           TEXT   NOT NULL PRIMARY KEY,
    tenant       TEXT   NOT NULL REFERENCES tenants (id),
    workspace    TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    connector    TEXT   NOT NULL,
    settings     TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    reason       TEXT,
    fence        BIGINT NOT NULL,
    node         TEXT,
    session      TEXT,
    boot         TEXT,
    gateway      TEXT,
    last_seen_at BIGINT,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    FOREIGN KEY (tenant, workspace) REFERENCES workspaces (tenant, id)
);

CREATE UNIQUE INDEX devices_by_tenant ON devices (tenant, id);
-- What a process that is gone has left open, looked for when the next one starts.
CREATE INDEX devices_open ON devices (boot) WHERE boot IS NOT NULL;
