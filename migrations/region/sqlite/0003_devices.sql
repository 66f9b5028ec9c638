-- Devices: who may write for them, what their connectors keep here, and their messages.

-- The highest fence under which anybody wrote for a device. Rows stay for ever, because a fence never goes back.
CREATE TABLE devices (
    tenant_no INTEGER NOT NULL,
    device    BLOB    NOT NULL,
    fence     INTEGER NOT NULL,
    PRIMARY KEY (tenant_no, device)
) STRICT, WITHOUT ROWID;

-- Apart from the fence, which is written with every session, while these may be large. `fence` is that of the session that
-- wrote them.
CREATE TABLE device_credentials (
    no        INTEGER PRIMARY KEY,
    tenant_no INTEGER NOT NULL,
    device    BLOB    NOT NULL,
    fence     INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    sealed    BLOB    NOT NULL,
    UNIQUE (tenant_no, device)
) STRICT;

-- One row a message. `network_id` is null for one on its way out; `body` is what was sent, of one that the engine sent.
-- `id` and `at` are from where `origin` says: 0 the engine that sent it, else the position of the event that told of it,
-- else, while none did, 2^40 and the position of the first event that spoke of it. The lowest origin stays.
-- State: null unknown, 0 pending, 1 failed, 2 sent, 3 delivered, 4 read. The highest stays.
CREATE TABLE messages (
    no         INTEGER PRIMARY KEY,
    tenant_no  INTEGER NOT NULL,
    device     BLOB    NOT NULL,
    id         BLOB    NOT NULL,
    origin     INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    state      INTEGER,
    position   INTEGER,
    edited     INTEGER,
    deleted    INTEGER,
    chat       TEXT    NOT NULL,
    sender     TEXT    NOT NULL,
    network_id TEXT,
    error_code TEXT,
    error      TEXT,
    body       BLOB
) STRICT;

CREATE UNIQUE INDEX messages_by_key ON messages (tenant_no, device, chat, sender, network_id)
    WHERE network_id IS NOT NULL;
-- Ids sort by the moment when they were made.
CREATE INDEX messages_by_id ON messages (tenant_no, device, id);
