//! What each kind of rows is, and the statement that writes it.

use super::{Kind, Shape, Together, devices};

pub(super) const INT: &str = "BIGINT";
pub(super) const TEXT: &str = "TEXT";
pub(super) const BYTES: &str = "BYTEA";
pub(super) const ID: &str = "UUID";

impl Kind {
    /// What the kind's statement is made of.
    pub(super) fn shape(self) -> &'static Shape {
        match self {
            Kind::Events => &EVENTS,
            Kind::TreeNodes => &TREE_NODES,
            Kind::Answers => &ANSWERS,
            Kind::Streams => &STREAMS,
            Kind::Tenants => &TENANTS,
            Kind::Forgotten => &FORGOTTEN,
            Kind::Attempts => &ATTEMPTS,
            Kind::Exceptions => &EXCEPTIONS,
            Kind::Cleared => &CLEARED,
            Kind::Webhooks => &WEBHOOKS,
            Kind::Consumers => &CONSUMERS,
            Kind::Replays => &REPLAYS,
            Kind::DevicesForgotten => &devices::FORGOTTEN,
            Kind::DeviceFences => &devices::FENCES,
            Kind::Openings => &devices::OPENINGS,
            Kind::Credentials => &devices::CREDENTIALS,
            Kind::Outgoing => &devices::OUTGOING,
            Kind::Sent => &devices::SENT,
            Kind::Settled => &devices::SETTLED,
            Kind::Messages => &devices::MESSAGES,
        }
    }
}

static EVENTS: Shape = Shape {
    rows: "new_events",
    columns: &[
        ("place", INT),
        ("stream_no", INT),
        ("seq", INT),
        ("received_at", INT),
        ("device", ID),
        ("kind", TEXT),
        ("category", BYTES),
        ("project", BYTES),
        ("actor_id", BYTES),
        ("dedup_id", BYTES),
        ("body", BYTES),
        ("payload", BYTES),
    ],
    before: &[],
    last: "
    INSERT INTO events (place, stream_no, seq, received_at, device, kind, category, project, actor_id,
                        dedup_id, body, payload)
    SELECT * FROM new_events",
    together: Together::AsItStands,
};

static TREE_NODES: Shape = Shape {
    rows: "new_nodes",
    columns: &[
        ("stream_no", INT),
        ("level", INT),
        ("idx", INT),
        ("hash", BYTES),
    ],
    before: &[],
    last: "
    INSERT INTO tree_nodes (stream_no, level, idx, hash)
    SELECT * FROM new_nodes",
    together: Together::AsItStands,
};

/// A key whose answer has expired is free. By itself the statement runs after somebody has looked; together with others it
/// fails over any answer that is there, and then somebody looks.
static ANSWERS: Shape = Shape {
    rows: "new_answers",
    columns: &[
        ("tenant_no", INT),
        ("key_hash", BYTES),
        ("request_hash", BYTES),
        ("status", INT),
        ("expires_at", INT),
        ("body", BYTES),
    ],
    before: &[],
    last: "
    INSERT INTO idempotent_answers (tenant_no, key_hash, request_hash, status, expires_at, body)
    SELECT * FROM new_answers
    ON CONFLICT (tenant_no, key_hash) DO UPDATE
    SET    request_hash = excluded.request_hash, status = excluded.status,
           expires_at = excluded.expires_at, body = excluded.body",
    together: Together::With(
        "
    INSERT INTO idempotent_answers (tenant_no, key_hash, request_hash, status, expires_at, body)
    SELECT * FROM new_answers",
    ),
};

static STREAMS: Shape = Shape {
    rows: "moved_streams",
    columns: &[("no", INT), ("seq", INT), ("hash", BYTES)],
    before: &[],
    last: "
    UPDATE streams AS s
    SET    seq = moved.seq, hash = moved.hash
    FROM   moved_streams AS moved
    WHERE  s.no = moved.no",
    together: Together::AsItStands,
};

static TENANTS: Shape = Shape {
    rows: "moved_tenants",
    columns: &[
        ("no", INT),
        ("head", INT),
        ("last_at", INT),
        ("dispatched", INT),
        ("fence", INT),
    ],
    before: &[],
    last: "
    UPDATE tenants AS t
    SET    head = moved.head, last_at = moved.last_at, dispatched = moved.dispatched,
           fence = moved.fence
    FROM   moved_tenants AS moved
    WHERE  t.no = moved.no",
    together: Together::AsItStands,
};

/// Runs before anything else is written of the same webhooks.
static FORGOTTEN: Shape = Shape {
    rows: "gone",
    columns: &[("tenant_no", INT), ("webhook_no", INT)],
    before: &[
        (
            "without_progress",
            "
             DELETE FROM webhook_progress AS w USING gone AS g
             WHERE  w.tenant_no = g.tenant_no AND w.webhook_no = g.webhook_no",
        ),
        (
            "without_exceptions",
            "
             DELETE FROM exceptions AS e USING gone AS g
             WHERE  e.tenant_no = g.tenant_no AND e.webhook_no = g.webhook_no",
        ),
        (
            "without_attempts",
            "
             DELETE FROM attempts AS a USING gone AS g
             WHERE  a.tenant_no = g.tenant_no AND a.webhook_no = g.webhook_no",
        ),
    ],
    last: "
    DELETE FROM replays AS r USING gone AS g
    WHERE  r.tenant_no = g.tenant_no AND r.webhook_no = g.webhook_no",
    together: Together::Never,
};

/// An attempt that is logged again is the same attempt: its sender did not hear that the first commit went through.
static ATTEMPTS: Shape = Shape {
    rows: "new_attempts",
    columns: &[
        ("tenant_no", INT),
        ("webhook_no", INT),
        ("position", INT),
        ("attempt", INT),
        ("at", INT),
        ("duration_us", INT),
        ("status", INT),
        ("state", INT),
        ("error", BYTES),
        ("response", BYTES),
    ],
    before: &[],
    last: "
    INSERT INTO attempts (tenant_no, webhook_no, position, attempt, at, duration_us, status, state,
                          error, response)
    SELECT * FROM new_attempts
    ON CONFLICT (tenant_no, webhook_no, position, attempt) DO NOTHING",
    together: Together::AsItStands,
};

static EXCEPTIONS: Shape = Shape {
    rows: "new_exceptions",
    columns: &[
        ("tenant_no", INT),
        ("webhook_no", INT),
        ("position", INT),
        ("state", INT),
        ("attempts", INT),
        ("at", INT),
        ("last_status", INT),
        ("last_error", BYTES),
    ],
    before: &[],
    last: "
    INSERT INTO exceptions (tenant_no, webhook_no, position, state, attempts, at, last_status,
                            last_error)
    SELECT * FROM new_exceptions
    ON CONFLICT (tenant_no, webhook_no, position) DO UPDATE
    SET    state = excluded.state, attempts = excluded.attempts, at = excluded.at,
           last_status = excluded.last_status, last_error = excluded.last_error",
    together: Together::AsItStands,
};

static CLEARED: Shape = Shape {
    rows: "cleared",
    columns: &[("tenant_no", INT), ("webhook_no", INT), ("position", INT)],
    before: &[],
    last: "
    DELETE FROM exceptions AS e
    USING  cleared AS c
    WHERE  e.tenant_no = c.tenant_no AND e.webhook_no = c.webhook_no
           AND e.position = c.position",
    together: Together::AsItStands,
};

/// What outcomes and marks say of a webhook, in that order: `cursor` and `breaker` are where it stands (no cursor: nothing was
/// said), `rests` that its work is done (1), `woken` that it has work again after this position. A cursor never moves back. The
/// cursor of a webhook without work lies behind, so it is moved up to its new work; one with work stays as it is.
static WEBHOOKS: Shape = Shape {
    rows: "standings",
    columns: &[
        ("tenant_no", INT),
        ("webhook_no", INT),
        ("cursor", INT),
        ("breaker", TEXT),
        ("rests", INT),
        ("woken", INT),
    ],
    before: &[(
        "moved_webhooks",
        "
    UPDATE webhook_progress AS w
    SET    cursor = greatest(w.cursor, s.cursor,
                             CASE WHEN s.rests = 1 OR NOT w.has_work THEN s.woken END),
           breaker = CASE WHEN s.cursor IS NULL THEN w.breaker ELSE s.breaker END,
           has_work = s.woken IS NOT NULL OR (w.has_work AND s.rests = 0)
    FROM   standings AS s
    WHERE  w.tenant_no = s.tenant_no AND w.webhook_no = s.webhook_no
    RETURNING w.tenant_no, w.webhook_no",
    )],
    last: "
    INSERT INTO webhook_progress (tenant_no, webhook_no, cursor, breaker, has_work)
    SELECT tenant_no, webhook_no,
           CASE WHEN cursor IS NULL THEN woken
                WHEN rests = 1      THEN greatest(cursor, woken)
                ELSE cursor END,
           breaker, woken IS NOT NULL OR rests = 0
    FROM   standings
    WHERE  (cursor IS NOT NULL OR woken IS NOT NULL)
           AND (tenant_no, webhook_no) NOT IN (SELECT tenant_no, webhook_no FROM moved_webhooks)",
    together: Together::AsItStands,
};

static CONSUMERS: Shape = Shape {
    rows: "acknowledged",
    columns: &[
        ("tenant_no", INT),
        ("workspace", BYTES),
        ("name", BYTES),
        ("cursor", INT),
        ("acked", BYTES),
    ],
    before: &[],
    last: "
    INSERT INTO consumers (tenant_no, workspace, name, cursor, acked)
    SELECT * FROM acknowledged
    ON CONFLICT (tenant_no, workspace, name) DO UPDATE
    SET    cursor = excluded.cursor, acked = excluded.acked",
    together: Together::AsItStands,
};

static REPLAYS: Shape = Shape {
    rows: "new_replays",
    columns: &[
        ("tenant_no", INT),
        ("id", ID),
        ("webhook_no", INT),
        ("from_position", INT),
        ("to_position", INT),
        ("types", TEXT),
        ("only_failed", INT),
        ("cursor", INT),
        ("total", INT),
        ("done", INT),
        ("failed", INT),
        ("state", INT),
        ("created_at", INT),
        ("updated_at", INT),
    ],
    before: &[],
    last: "
    INSERT INTO replays (tenant_no, id, webhook_no, from_position, to_position, types, only_failed,
                         cursor, total, done, failed, state, created_at, updated_at)
    SELECT tenant_no, id, webhook_no, from_position, to_position, types, only_failed <> 0, cursor,
           total, done, failed, state, created_at, updated_at
    FROM   new_replays
    ON CONFLICT (tenant_no, id) DO UPDATE
    SET    cursor = excluded.cursor, total = excluded.total, done = excluded.done,
           failed = excluded.failed, state = excluded.state, updated_at = excluded.updated_at,
           from_position = excluded.from_position, to_position = excluded.to_position,
           types = excluded.types, only_failed = excluded.only_failed",
    together: Together::AsItStands,
};
