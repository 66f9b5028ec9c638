-- Devices: who may write for them, what their connectors keep here, and their messages.

-- The highest fence under which anybody wrote for a device. Rows stay for ever, because a fence never goes back.
CREATE TABLE devices (
    tenant_no BIGINT NOT NULL,
    device    UUID   NOT NULL,
    fence     BIGINT NOT NULL,
    PRIMARY KEY (tenant_no, device)
) WITH (fillfactor = 60);

-- How often a session began for any of the tenant's devices. A commit that has locked the tenant's row sees by it whether what
-- it read of `devices` is still so.
ALTER TABLE tenants ADD COLUMN openings BIGINT NOT NULL DEFAULT 0;

-- Apart from the fence, which is written with every session, while these may be large. `fence` is that of the session that
-- wrote them.
CREATE TABLE device_credentials (
    tenant_no BIGINT NOT NULL,
    device    UUID   NOT NULL,
    fence     BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    sealed    BYTEA  NOT NULL,
    PRIMARY KEY (tenant_no, device)
);

-- One row a message. `network_id` is null for one on its way out; `body` is what was sent, of one that the engine sent.
-- `id` and `at` are from where `origin` says: 0 the engine that sent it, else the position of the event that told of it,
-- else, while none did, 2^40 and the position of the first event that spoke of it. The lowest origin stays.
-- State: null unknown, 0 pending, 1 failed, 2 sent, 3 delivered, 4 read. The highest stays.
CREATE TABLE messages (
    tenant_no  BIGINT NOT NULL,
    origin     BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    position   BIGINT,
    edited     BIGINT,
    deleted    BIGINT,
    device     UUID   NOT NULL,
    id         UUID   NOT NULL,
    state      SMALLINT,
    chat       BYTEA  NOT NULL,
    sender     BYTEA  NOT NULL,
    network_id BYTEA,
    error_code BYTEA,
    error      BYTEA,
    body       BYTEA
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX messages_by_key ON messages (tenant_no, device, chat, sender, network_id)
    WHERE network_id IS NOT NULL;
-- Ids sort by the moment when they were made.
CREATE INDEX messages_by_id ON messages (tenant_no, device, id);
