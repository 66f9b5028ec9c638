//! The statements that write: one text for many rows, and one round trip to the connection's thread for most commits.
//!
//! A statement comes in sizes of 1, 2, 4 … 256 rows, so that few texts serve every batch and all of them stay prepared.
//! Rows that a batch leaves empty are NULL in their first column and are filtered out by the statement. `BEGIN` and `COMMIT`
//! ride along with the first and the last statement of a transaction.
//!
//! `OR FAIL` leaves the rows before the one that failed, which spares SQLite a copy of every page that a statement touches:
//! whoever runs these statements rolls back to where the transaction or its savepoint began.

mod device;

use std::{collections::HashMap, sync::Arc};

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// Rows in the largest statement: 3,072 parameters for events, far below the limit of 32,766.
const ROWS_MAX: usize = 256;

/// What a statement writes, in the order in which a commit writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Tenants,
    Fences,
    Streams,
    Events,
    TreeNodes,
    Answers,
    Forgotten,
    Attempts,
    Exceptions,
    Cleared,
    Progress,
    Rested,
    Woken,
    Dispatched,
    Consumers,
    Replays,
    DevicesForgotten,
    DeviceFences,
    Credentials,
    Outgoing,
    Sent,
    Settled,
    Messages,
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Kind; 23] = [
        Kind::Tenants,
        Kind::Fences,
        Kind::Streams,
        Kind::Events,
        Kind::TreeNodes,
        Kind::Answers,
        Kind::Forgotten,
        Kind::Attempts,
        Kind::Exceptions,
        Kind::Cleared,
        Kind::Progress,
        Kind::Rested,
        Kind::Woken,
        Kind::Dispatched,
        Kind::Consumers,
        Kind::Replays,
        Kind::DevicesForgotten,
        Kind::DeviceFences,
        Kind::Credentials,
        Kind::Outgoing,
        Kind::Sent,
        Kind::Settled,
        Kind::Messages,
    ];

    /// How many rows one statement of this kind takes.
    pub(super) fn rows_max(self) -> usize {
        match self.shape() {
            Shape::Rows(..) => ROWS_MAX,
            Shape::Fixed(_) => 1,
        }
    }

    fn shape(self) -> Shape {
        match self {
            Kind::Tenants => TENANTS,
            Kind::Fences => FENCES,
            Kind::Streams => STREAMS,
            Kind::Events => EVENTS,
            Kind::TreeNodes => TREE_NODES,
            Kind::Answers => ANSWERS,
            Kind::Forgotten => FORGOTTEN,
            Kind::Attempts => ATTEMPTS,
            Kind::Exceptions => EXCEPTIONS,
            Kind::Cleared => CLEARED,
            Kind::Progress => PROGRESS,
            Kind::Rested => RESTED,
            Kind::Woken => WOKEN,
            Kind::Dispatched => DISPATCHED,
            Kind::Consumers => CONSUMERS,
            Kind::Replays => REPLAYS,
            Kind::DevicesForgotten => device::DEVICES_FORGOTTEN,
            Kind::DeviceFences => device::DEVICE_FENCES,
            Kind::Credentials => device::CREDENTIALS,
            Kind::Outgoing => device::OUTGOING,
            Kind::Sent => device::SENT,
            Kind::Settled => device::SETTLED,
            Kind::Messages => device::MESSAGES,
        }
    }
}

/// The text of a statement, around its rows.
#[derive(Clone, Copy)]
enum Shape {
    /// `head (VALUES rows of so many columns) tail`.
    Rows(&'static str, usize, &'static str),
    /// Always the same, for one row of numbered parameters.
    Fixed(&'static str),
}

const FILLED: &str = " WHERE column1 IS NOT NULL";

const TENANTS: Shape = Shape::Rows(
    "INSERT OR FAIL INTO tenants (no, id) SELECT * FROM",
    2,
    FILLED,
);

const FENCES: Shape = Shape::Rows(
    "UPDATE tenants SET fence = raised.column2 FROM",
    2,
    " AS raised WHERE tenants.no = raised.column1",
);

const STREAMS: Shape = Shape::Rows(
    "INSERT OR FAIL INTO streams (no, tenant_no, id) SELECT * FROM",
    3,
    FILLED,
);

const EVENTS: Shape = Shape::Rows(
    "INSERT OR FAIL INTO events (place, stream_no, seq, received_at, kind, category, project, actor_id,
                                 dedup_id, device, body, payload)
     SELECT * FROM",
    12,
    FILLED,
);

const TREE_NODES: Shape = Shape::Rows(
    "INSERT OR FAIL INTO tree_nodes (stream_no, level, idx, hash) SELECT * FROM",
    4,
    FILLED,
);

const ANSWERS: Shape = Shape::Rows(
    "INSERT OR FAIL INTO idempotent_answers (tenant_no, key_hash, request_hash, status, expires_at, body)
     SELECT * FROM",
    6,
    FILLED,
);

const FORGOTTEN: Shape = Shape::Fixed(
    "DELETE FROM webhook_progress WHERE webhook_no = ?1 AND tenant_no = ?2;
     DELETE FROM exceptions       WHERE webhook_no = ?1 AND tenant_no = ?2;
     DELETE FROM attempts         WHERE webhook_no = ?1 AND tenant_no = ?2;
     DELETE FROM replays          WHERE webhook_no = ?1 AND tenant_no = ?2",
);

/// An attempt that is logged again is the same attempt: its sender did not hear that the first commit went through.
const ATTEMPTS: Shape = Shape::Rows(
    "INSERT INTO attempts (webhook_no, position, attempt, tenant_no, at, duration_us, status, state,
                           error, response)
     SELECT * FROM",
    10,
    " WHERE column1 IS NOT NULL
     ON CONFLICT (webhook_no, position, attempt) DO NOTHING",
);

const EXCEPTIONS: Shape = Shape::Rows(
    "INSERT INTO exceptions (webhook_no, position, tenant_no, state, attempts, at, last_status,
                             last_error)
     SELECT * FROM",
    8,
    " WHERE column1 IS NOT NULL
     ON CONFLICT (webhook_no, position) DO UPDATE
     SET    state = excluded.state, attempts = excluded.attempts, at = excluded.at,
            last_status = excluded.last_status, last_error = excluded.last_error
     WHERE  tenant_no = excluded.tenant_no",
);

/// Found by a join, because the planner would rather look at every row there is than at each in the list.
const CLEARED: Shape = Shape::Rows(
    "DELETE FROM exceptions
     WHERE  (webhook_no, position) IN (SELECT e.webhook_no, e.position FROM",
    3,
    " AS gone
     CROSS JOIN exceptions AS e
            ON e.webhook_no = gone.column1 AND e.position = gone.column2
               AND +e.tenant_no = gone.column3)",
);

const PROGRESS: Shape = Shape::Rows(
    "INSERT INTO webhook_progress (webhook_no, tenant_no, cursor, has_work, breaker) SELECT * FROM",
    5,
    " WHERE column1 IS NOT NULL
     ON CONFLICT (webhook_no) DO UPDATE
     SET    cursor = max(cursor, excluded.cursor), breaker = excluded.breaker
     WHERE  tenant_no = excluded.tenant_no",
);

const RESTED: Shape = Shape::Rows(
    "UPDATE webhook_progress
     SET    has_work = 0
     WHERE  webhook_no IN (SELECT w.webhook_no FROM",
    2,
    " AS rested
     CROSS JOIN webhook_progress AS w
            ON w.webhook_no = rested.column1 AND +w.tenant_no = rested.column2)",
);

/// The cursor of a webhook without work lies behind, so it is moved up to its new work; one with work stays as it is.
const WOKEN: Shape = Shape::Rows(
    "INSERT INTO webhook_progress (webhook_no, tenant_no, cursor, has_work, breaker) SELECT * FROM",
    5,
    " WHERE column1 IS NOT NULL
     ON CONFLICT (webhook_no) DO UPDATE
     SET    cursor = max(cursor, excluded.cursor), has_work = 1
     WHERE  tenant_no = excluded.tenant_no AND has_work = 0",
);

const DISPATCHED: Shape = Shape::Rows(
    "INSERT INTO dispatch (tenant_no, position) SELECT * FROM",
    2,
    " WHERE column1 IS NOT NULL
     ON CONFLICT (tenant_no) DO UPDATE SET position = max(position, excluded.position)",
);

const CONSUMERS: Shape = Shape::Rows(
    "INSERT INTO consumers (tenant_no, workspace, name, cursor, acked) SELECT * FROM",
    5,
    " WHERE column1 IS NOT NULL
     ON CONFLICT (tenant_no, workspace, name) DO UPDATE
     SET    cursor = excluded.cursor, acked = excluded.acked",
);

const REPLAYS: Shape = Shape::Rows(
    "INSERT INTO replays (id, tenant_no, webhook_no, from_position, to_position, types, only_failed,
                          cursor, total, done, failed, state, created_at, updated_at)
     SELECT * FROM",
    14,
    " WHERE column1 IS NOT NULL
     ON CONFLICT (id) DO UPDATE
     SET    cursor = excluded.cursor, total = excluded.total, done = excluded.done,
            failed = excluded.failed, state = excluded.state, updated_at = excluded.updated_at,
            from_position = excluded.from_position, to_position = excluded.to_position,
            types = excluded.types, only_failed = excluded.only_failed
     WHERE  tenant_no = excluded.tenant_no",
);

/// Which ends of its transaction a statement carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Edges {
    /// It begins one.
    pub(super) begins: bool,
    /// It commits one.
    pub(super) commits: bool,
}

/// The texts that have been needed so far.
#[derive(Default)]
pub(super) struct Texts {
    made: HashMap<(Kind, usize, Edges), Arc<str>>,
}

impl Texts {
    /// The text for so many rows, or the next size above.
    pub(super) fn get(&mut self, kind: Kind, rows: usize, edges: Edges) -> SqlStr {
        let rows = rows.next_power_of_two();
        let text = self
            .made
            .entry((kind, rows, edges))
            .or_insert_with(|| text(kind.shape(), rows, edges).into());
        // Made of the constants above; values are always bound.
        AssertSqlSafe(Arc::clone(text)).into_sql_str()
    }
}

fn text(shape: Shape, rows: usize, edges: Edges) -> String {
    let mut text = String::new();
    if edges.begins {
        text.push_str("BEGIN IMMEDIATE;\n");
    }
    match shape {
        Shape::Fixed(statement) => text.push_str(statement),
        Shape::Rows(head, columns, tail) => {
            let row = format!("({})", vec!["?"; columns].join(","));
            text.push_str(head);
            text.push_str(" (VALUES ");
            text.push_str(&vec![row; rows].join(","));
            text.push(')');
            text.push_str(tail);
        }
    }
    if edges.commits {
        text.push_str(";\nCOMMIT");
    }
    text
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;
    use crate::log::sqlite::open::MIGRATIONS;

    #[tokio::test]
    async fn no_statement_goes_through_a_whole_table() {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        MIGRATIONS
            .run_direct(None, &mut database, false)
            .await
            .unwrap();
        let edges = Edges {
            begins: false,
            commits: false,
        };
        for kind in Kind::ALL {
            let text = text(kind.shape(), 4, edges);
            for statement in text.split(';') {
                let explain = format!("EXPLAIN QUERY PLAN {statement}");
                let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(AssertSqlSafe(explain))
                    .fetch_all(&mut database)
                    .await
                    .unwrap();
                for (_, _, _, step) in plan {
                    let is_list = [
                        "VALUES CLAUSE",
                        "CONSTANT",
                        "gone",
                        "rested",
                        "raised",
                        "subquery",
                    ];
                    let is_scan =
                        step.starts_with("SCAN") && !is_list.iter().any(|list| step.contains(list));
                    assert!(!is_scan, "{kind:?}: {step}");
                }
            }
        }
    }

    #[test]
    fn kinds_stand_in_the_order_of_their_numbers() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number, "{kind:?}");
        }
    }

    #[test]
    fn a_batch_of_many_sizes_needs_few_texts() {
        let mut texts = Texts::default();
        let edges = Edges {
            begins: true,
            commits: true,
        };
        for rows in 1..=ROWS_MAX {
            texts.get(Kind::Events, rows, edges);
        }
        assert_eq!(texts.made.len(), 9);
    }
}
