//! The texts of a page's statement: one for each path through the log and each order. A condition that is not asked for is
//! NULL and costs nothing.

use super::super::event_row::event_columns;
use crate::log::{Order, window::Path};

/// Rows of the page, in its order, until there are so many or so many bytes of payload.
///
/// `$1` and `$2` are the ends of the window, `$3` is what the path goes along, then come category, project, actor, workspace,
/// types, the ends of ranges of types, limit and bytes.
macro_rules! page {
    ($path:expr, $key:literal, $order:literal) => {
        concat!(
            "SELECT   place, id, seq, received_at, device, kind, category, project, actor_id, dedup_id,
                      body, payload
             FROM     (SELECT   ",
            event_columns!(),
            ",
                                sum(octet_length(e.payload))
                                    OVER (ORDER BY e.",
            $key,
            $order,
            " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
                       FROM     ",
            $path,
            " AND e.",
            $key,
            " BETWEEN $1::BIGINT AND $2::BIGINT
                                AND ($4::BYTEA IS NULL OR e.category = $4)
                                AND ($5::BYTEA IS NULL OR e.project = $5)
                                AND ($6::BYTEA IS NULL OR e.actor_id = $6)
                                AND ($7::UUID IS NULL OR s.id = $7)
                                AND ($8::TEXT[] IS NULL OR e.kind = ANY($8)
                                     OR EXISTS (SELECT 1
                                                FROM   unnest($9::TEXT[], $10::TEXT[]) AS r (low, high)
                                                WHERE  e.kind > r.low AND e.kind < r.high))
                       ORDER BY e.",
            $key,
            $order,
            "
                       LIMIT    $11) AS page
             WHERE    coalesce(bytes_before, 0) < $12
             ORDER BY ",
            $key,
            $order
        )
    };
}

/// Along the log, a workspace's chain or a device.
macro_rules! along {
    ($condition:literal, $key:literal, $order:literal) => {
        page!(
            concat!(
                "events AS e JOIN streams AS s ON s.no = e.stream_no WHERE ",
                $condition
            ),
            $key,
            $order
        )
    };
}

/// The tenant's number is in every place. `OFFSET 0` has the events looked up by their dedup id before anything else.
macro_rules! deduped {
    ($order:literal) => {
        page!(
            "streams AS s
             CROSS JOIN LATERAL (SELECT *
                                 FROM   events
                                 WHERE  stream_no = s.no AND dedup_id = $3::BYTEA
                                 OFFSET 0) AS e
             WHERE  s.tenant_no = $1::BIGINT >> 40",
            "place",
            $order
        )
    };
}

/// The statement of a page along a path.
pub(in crate::log::postgres) fn statement(path: Path, order: Order) -> &'static str {
    match (path, order) {
        (Path::Log, Order::Ascending) => along!("$3::BIGINT IS NULL", "place", ""),
        (Path::Log, Order::Descending) => along!("$3::BIGINT IS NULL", "place", " DESC"),
        (Path::Stream(_), Order::Ascending) => along!("e.stream_no = $3::BIGINT", "seq", ""),
        (Path::Stream(_), Order::Descending) => along!("e.stream_no = $3::BIGINT", "seq", " DESC"),
        (Path::Device(_), Order::Ascending) => along!("e.device = $3::UUID", "place", ""),
        (Path::Device(_), Order::Descending) => along!("e.device = $3::UUID", "place", " DESC"),
        (Path::DedupId, Order::Ascending) => deduped!(""),
        (Path::DedupId, Order::Descending) => deduped!(" DESC"),
    }
}
