//! The text of a page's statement, from constant pieces; whatever a caller gave is bound.

use domain::filter::{EventFilter, TypeFilter, TypePattern};
use sqlx::{QueryBuilder, Sqlite};

use super::super::event_row::event_columns;
use crate::log::{
    EventQuery, Order,
    window::{Path, Window},
};

/// The statement of a page.
pub(super) fn statement(
    tenant_no: i64,
    path: Path,
    window: Window,
    query: &EventQuery,
) -> QueryBuilder<Sqlite> {
    let filter = &query.filter;
    let mut sql = QueryBuilder::new(concat!("SELECT ", event_columns!(), " FROM events AS e "));
    sql.push(match path {
        Path::Log | Path::Stream(_) => "CROSS JOIN streams AS s ON s.no = e.stream_no WHERE ",
        Path::Device(_) => {
            "INDEXED BY events_by_device CROSS JOIN streams AS s ON s.no = e.stream_no WHERE "
        }
        Path::DedupId => {
            "INDEXED BY events_by_dedup CROSS JOIN streams AS s ON s.no = e.stream_no
             WHERE e.stream_no IN (SELECT no FROM streams WHERE tenant_no = "
        }
    });
    match path {
        Path::Log => sql.push("e.place"),
        Path::Stream(stream_no) => sql
            .push("e.stream_no = ")
            .push_bind(stream_no)
            .push(" AND e.seq"),
        Path::Device(device) => sql
            .push("e.device = ")
            .push_bind(device.as_bytes().to_vec())
            .push(" AND e.place"),
        Path::DedupId => sql
            .push_bind(tenant_no)
            .push(") AND e.dedup_id = ")
            .push_bind(filter.dedup_id.as_deref().unwrap_or("").to_owned())
            .push(" AND e.place"),
    };
    sql.push(" BETWEEN ").push_bind(window.first);
    sql.push(" AND ").push_bind(window.last);
    let texts = [
        (" AND e.category = ", &filter.category),
        (" AND e.project = ", &filter.project),
        (" AND e.actor_id = ", &filter.actor),
    ];
    for (condition, text) in texts {
        if let Some(text) = text {
            sql.push(condition).push_bind(text.to_string());
        }
    }
    if let Some(kinds) = filter.kinds.as_ref().filter(|kinds| !kinds.is_all()) {
        push_kinds(&mut sql, kinds);
    }
    sql.push(match (path, query.order) {
        (Path::Stream(_), Order::Ascending) => " ORDER BY e.seq LIMIT ",
        (Path::Stream(_), Order::Descending) => " ORDER BY e.seq DESC LIMIT ",
        (_, Order::Ascending) => " ORDER BY e.place LIMIT ",
        (_, Order::Descending) => " ORDER BY e.place DESC LIMIT ",
    });
    sql.push_bind(i64::from(rows_max(path, query)));
    sql
}

/// How many rows the statement answers at most: as many as are wanted if it leaves out all that does not match, else as many as
/// may be looked at.
pub(super) fn rows_max(path: Path, query: &EventQuery) -> u32 {
    let EventFilter {
        workspace, device, ..
    } = &query.filter;
    let is_exact = match path {
        Path::Log | Path::Stream(_) => true,
        Path::Device(_) => workspace.is_none(),
        Path::DedupId => workspace.is_none() && device.is_none(),
    };
    let rows_max = if is_exact {
        query.scan_max.min(query.limit)
    } else {
        query.scan_max
    };
    rows_max.max(1)
}

/// Adds the condition that a type is one of these. `prefix.*` is a range: `/` is the character right after the dot.
fn push_kinds(sql: &mut QueryBuilder<Sqlite>, kinds: &TypeFilter) {
    let mut joint = " AND (";
    for pattern in kinds.patterns() {
        sql.push(joint);
        joint = " OR ";
        match pattern {
            TypePattern::All => sql.push("1"),
            TypePattern::Exact(kind) => sql.push("e.kind = ").push_bind(kind.as_str().to_owned()),
            TypePattern::Prefix(prefix) => sql
                .push("(e.kind > ")
                .push_bind(format!("{prefix}."))
                .push(" AND e.kind < ")
                .push_bind(format!("{prefix}/"))
                .push(")"),
        };
    }
    sql.push(")");
}
