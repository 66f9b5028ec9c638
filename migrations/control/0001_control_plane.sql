-- The control plane: who the tenants are, what they may do, and what they have set up. Holds no event and no payload.
--
-- One text for SQLite and PostgreSQL. Portable subset: TEXT and BIGINT only; times are microseconds since 1970, flags are
-- 0 or 1, ids stand in the form in which the API shows them, hashes are hex digits, lists and objects are JSON text.
-- A tenant's rows refer to its workspaces by (tenant, id), so that no row can refer to another tenant's workspace.

CREATE TABLE tenants (
    id           TEXT   NOT NULL PRIMARY KEY,
    slug         TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    plan         TEXT   NOT NULL,
    region       TEXT   NOT NULL,
    replicate_to TEXT   NOT NULL,
    wrapped_key  TEXT   NOT NULL,
    suspended    BIGINT NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);

CREATE TABLE workspaces (
    id             TEXT   NOT NULL PRIMARY KEY,
    tenant         TEXT   NOT NULL REFERENCES tenants (id),
    slug           TEXT   NOT NULL,
    name           TEXT   NOT NULL,
    retention_days BIGINT,
    template       TEXT,
    version        BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    deleted_at     BIGINT
);

CREATE UNIQUE INDEX workspaces_by_tenant ON workspaces (tenant, id);
-- A deleted workspace keeps its events and its id, but gives its slug back.
CREATE UNIQUE INDEX workspaces_by_slug ON workspaces (tenant, slug) WHERE deleted_at IS NULL;

CREATE TABLE api_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    tenant       TEXT   NOT NULL REFERENCES tenants (id),
    workspace    TEXT,
    name         TEXT   NOT NULL,
    key_hash     TEXT   NOT NULL UNIQUE,
    prefix       TEXT   NOT NULL,
    permissions  TEXT   NOT NULL,
    tier         TEXT   NOT NULL,
    ip_allow     TEXT   NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    grace_until  BIGINT,
    last_used_at BIGINT,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    FOREIGN KEY (tenant, workspace) REFERENCES workspaces (tenant, id)
);

CREATE INDEX api_keys_by_tenant ON api_keys (tenant, id);
CREATE INDEX api_keys_by_use ON api_keys (last_used_at);

-- `no` is what the region logs call a webhook by; it comes from `counters` and is never given twice.
CREATE TABLE webhooks (
    id                    TEXT   NOT NULL PRIMARY KEY,
    no                    BIGINT NOT NULL UNIQUE,
    tenant                TEXT   NOT NULL REFERENCES tenants (id),
    workspace             TEXT,
    url                   TEXT   NOT NULL,
    events                TEXT   NOT NULL,
    description           TEXT   NOT NULL,
    state                 TEXT   NOT NULL,
    headers               TEXT   NOT NULL,
    timeout_ms            BIGINT NOT NULL,
    retry                 TEXT   NOT NULL,
    max_in_flight         BIGINT NOT NULL,
    rate_per_second       BIGINT,
    ordered               BIGINT NOT NULL,
    secret                TEXT   NOT NULL,
    previous_secret       TEXT,
    previous_secret_until BIGINT,
    starts_after          BIGINT NOT NULL,
    version               BIGINT NOT NULL,
    created_at            BIGINT NOT NULL,
    updated_at            BIGINT NOT NULL,
    FOREIGN KEY (tenant, workspace) REFERENCES workspaces (tenant, id)
);

CREATE UNIQUE INDEX webhooks_by_tenant ON webhooks (tenant, id);

-- Numbers that only ever grow.
CREATE TABLE counters (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

-- POST requests with an idempotency key, other than those that write events: `status` and `body` come with the answer.
CREATE TABLE reservations (
    tenant       TEXT   NOT NULL REFERENCES tenants (id),
    key_hash     TEXT   NOT NULL,
    request_hash TEXT   NOT NULL,
    boot         TEXT   NOT NULL,
    status       BIGINT,
    body         TEXT,
    expires_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant, key_hash)
);

CREATE INDEX reservations_by_expiry ON reservations (expires_at);

CREATE TABLE audit_log (
    tenant        TEXT   NOT NULL REFERENCES tenants (id),
    no            BIGINT NOT NULL,
    at            BIGINT NOT NULL,
    actor         TEXT   NOT NULL,
    action        TEXT   NOT NULL,
    resource_type TEXT   NOT NULL,
    resource_id   TEXT   NOT NULL,
    meta          TEXT   NOT NULL,
    ip            TEXT,
    user_agent    TEXT,
    PRIMARY KEY (tenant, no)
);
