//! The statements that write: one text for any number of rows, which come as one array a column.
//!
//! Their order is that in which a commit runs them. All of them write rows of tenants whose row in `tenants` the transaction
//! has locked, so none ever waits for another transaction.

/// What a statement writes, in the order in which a commit writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Events,
    TreeNodes,
    Answers,
    Streams,
    Tenants,
    Forgotten,
    Attempts,
    Exceptions,
    Cleared,
    Progress,
    Rested,
    Woken,
    Consumers,
    Replays,
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Kind; 14] = [
        Kind::Events,
        Kind::TreeNodes,
        Kind::Answers,
        Kind::Streams,
        Kind::Tenants,
        Kind::Forgotten,
        Kind::Attempts,
        Kind::Exceptions,
        Kind::Cleared,
        Kind::Progress,
        Kind::Rested,
        Kind::Woken,
        Kind::Consumers,
        Kind::Replays,
    ];

    /// The statement's text.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Kind::Events => EVENTS,
            Kind::TreeNodes => TREE_NODES,
            Kind::Answers => ANSWERS,
            Kind::Streams => STREAMS,
            Kind::Tenants => TENANTS,
            Kind::Forgotten => FORGOTTEN,
            Kind::Attempts => ATTEMPTS,
            Kind::Exceptions => EXCEPTIONS,
            Kind::Cleared => CLEARED,
            Kind::Progress => PROGRESS,
            Kind::Rested => RESTED,
            Kind::Woken => WOKEN,
            Kind::Consumers => CONSUMERS,
            Kind::Replays => REPLAYS,
        }
    }
}

const EVENTS: &str = "
    INSERT INTO events (place, stream_no, seq, received_at, device, kind, category, project, actor_id,
                        dedup_id, body, payload)
    SELECT *
    FROM   unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::UUID[], $6::TEXT[],
                  $7::BYTEA[], $8::BYTEA[], $9::BYTEA[], $10::BYTEA[], $11::BYTEA[], $12::BYTEA[])";

const TREE_NODES: &str = "
    INSERT INTO tree_nodes (stream_no, level, idx, hash)
    SELECT *
    FROM   unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BYTEA[])";

/// A key whose answer has expired is free: whoever planned the commit has looked.
const ANSWERS: &str = "
    INSERT INTO idempotent_answers (tenant_no, key_hash, request_hash, status, expires_at, body)
    SELECT *
    FROM   unnest($1::BIGINT[], $2::BYTEA[], $3::BYTEA[], $4::BIGINT[], $5::BIGINT[], $6::BYTEA[])
    ON CONFLICT (tenant_no, key_hash) DO UPDATE
    SET    request_hash = excluded.request_hash, status = excluded.status,
           expires_at = excluded.expires_at, body = excluded.body";

const STREAMS: &str = "
    UPDATE streams AS s
    SET    seq = moved.seq, hash = moved.hash
    FROM   unnest($1::BIGINT[], $2::BIGINT[], $3::BYTEA[]) AS moved (no, seq, hash)
    WHERE  s.no = moved.no";

const TENANTS: &str = "
    UPDATE tenants AS t
    SET    head = moved.head, last_at = moved.last_at, dispatched = moved.dispatched,
           fence = moved.fence
    FROM   unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[])
           AS moved (no, head, last_at, dispatched, fence)
    WHERE  t.no = moved.no";

const FORGOTTEN: &str = "
    WITH gone (tenant_no, webhook_no) AS (
             SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[])),
         without_progress AS (
             DELETE FROM webhook_progress AS w USING gone AS g
             WHERE  w.tenant_no = g.tenant_no AND w.webhook_no = g.webhook_no),
         without_exceptions AS (
             DELETE FROM exceptions AS e USING gone AS g
             WHERE  e.tenant_no = g.tenant_no AND e.webhook_no = g.webhook_no),
         without_attempts AS (
             DELETE FROM attempts AS a USING gone AS g
             WHERE  a.tenant_no = g.tenant_no AND a.webhook_no = g.webhook_no)
    DELETE FROM replays AS r USING gone AS g
    WHERE  r.tenant_no = g.tenant_no AND r.webhook_no = g.webhook_no";

/// An attempt that is logged again is the same attempt: its sender did not hear that the first commit went through.
const ATTEMPTS: &str = "
    INSERT INTO attempts (tenant_no, webhook_no, position, attempt, at, duration_us, status, state,
                          error, response)
    SELECT *
    FROM   unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[],
                  $7::BIGINT[], $8::BIGINT[], $9::BYTEA[], $10::BYTEA[])
    ON CONFLICT (tenant_no, webhook_no, position, attempt) DO NOTHING";

const EXCEPTIONS: &str = "
    INSERT INTO exceptions (tenant_no, webhook_no, position, state, attempts, at, last_status,
                            last_error)
    SELECT *
    FROM   unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[],
                  $7::BIGINT[], $8::BYTEA[])
    ON CONFLICT (tenant_no, webhook_no, position) DO UPDATE
    SET    state = excluded.state, attempts = excluded.attempts, at = excluded.at,
           last_status = excluded.last_status, last_error = excluded.last_error";

const CLEARED: &str = "
    DELETE FROM exceptions AS e
    USING  unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[]) AS gone (tenant_no, webhook_no, position)
    WHERE  e.tenant_no = gone.tenant_no AND e.webhook_no = gone.webhook_no
           AND e.position = gone.position";

const PROGRESS: &str = "
    INSERT INTO webhook_progress AS w (tenant_no, webhook_no, cursor, breaker, has_work)
    SELECT *, TRUE
    FROM   unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::TEXT[])
    ON CONFLICT (tenant_no, webhook_no) DO UPDATE
    SET    cursor = greatest(w.cursor, excluded.cursor), breaker = excluded.breaker";

const RESTED: &str = "
    UPDATE webhook_progress AS w
    SET    has_work = FALSE
    FROM   unnest($1::BIGINT[], $2::BIGINT[]) AS rested (tenant_no, webhook_no)
    WHERE  w.tenant_no = rested.tenant_no AND w.webhook_no = rested.webhook_no";

/// The cursor of a webhook without work lies behind, so it is moved up to its new work; one with work stays as it is.
const WOKEN: &str = "
    INSERT INTO webhook_progress AS w (tenant_no, webhook_no, cursor, breaker, has_work)
    SELECT *, TRUE
    FROM   unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::TEXT[])
    ON CONFLICT (tenant_no, webhook_no) DO UPDATE
    SET    cursor = greatest(w.cursor, excluded.cursor), has_work = TRUE
    WHERE  NOT w.has_work";

const CONSUMERS: &str = "
    INSERT INTO consumers (tenant_no, workspace, name, cursor, acked)
    SELECT *
    FROM   unnest($1::BIGINT[], $2::BYTEA[], $3::BYTEA[], $4::BIGINT[], $5::BYTEA[])
    ON CONFLICT (tenant_no, workspace, name) DO UPDATE
    SET    cursor = excluded.cursor, acked = excluded.acked";

const REPLAYS: &str = "
    INSERT INTO replays (tenant_no, id, webhook_no, from_position, to_position, types, only_failed,
                         cursor, total, done, failed, state, created_at, updated_at)
    SELECT tenant_no, id, webhook_no, from_position, to_position, types, only_failed <> 0, cursor,
           total, done, failed, state, created_at, updated_at
    FROM   unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::TEXT[],
                  $7::BIGINT[], $8::BIGINT[], $9::BIGINT[], $10::BIGINT[], $11::BIGINT[],
                  $12::BIGINT[], $13::BIGINT[], $14::BIGINT[])
           AS r (tenant_no, id, webhook_no, from_position, to_position, types, only_failed, cursor,
                 total, done, failed, state, created_at, updated_at)
    ON CONFLICT (tenant_no, id) DO UPDATE
    SET    cursor = excluded.cursor, total = excluded.total, done = excluded.done,
           failed = excluded.failed, state = excluded.state, updated_at = excluded.updated_at,
           from_position = excluded.from_position, to_position = excluded.to_position,
           types = excluded.types, only_failed = excluded.only_failed";
