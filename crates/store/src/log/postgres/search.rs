//! Searches a tenant's events and finds positions by time.
//!
//! A search looks at a window of the log that is bounded beforehand, along the shortest path that its filter allows. Each row
//! is checked against the filter itself once more: SQL only leaves out what cannot match.

pub(super) mod page;

use domain::{
    filter::{EventFilter, TypePattern},
    ids::{DeviceId, WorkspaceId},
    position::Position,
    time::Timestamp,
};
use tokio_postgres::types::ToSql;

use super::{
    event_row,
    reader::{Extent, Parameters, Reader, column},
};
use crate::{
    StoreError,
    log::{
        EventQuery, Order, Page,
        stored::{corrupt, position_of, signed},
        window::{Path, Window},
    },
};

/// Finds the highest number between `$1` and `$2` (both excluded) for which `$is_before` holds of `middle`, or `$1`; it must
/// hold for all numbers up to some point and for none after it. It is NULL for an event that has gone since the bounds were
/// read: that was an old one.
macro_rules! bisect {
    ($is_before:literal) => {
        concat!(
            "WITH RECURSIVE search (low, high) AS (
                 SELECT $1::BIGINT, $2::BIGINT
                 UNION ALL
                 SELECT CASE WHEN is_before THEN middle ELSE low END,
                        CASE WHEN is_before THEN high ELSE middle END
                 FROM   search
                 CROSS JOIN LATERAL (SELECT low + (high - low) / 2 AS middle) AS m
                 CROSS JOIN LATERAL (SELECT coalesce(",
            $is_before,
            ", TRUE) AS is_before) AS b
                 WHERE  high - low > 1)
             SELECT low FROM search WHERE high - low <= 1 LIMIT 1"
        )
    };
}

/// Types as a statement takes them: exact ones, and the ends of ranges. `prefix.*` is a range: `/` follows right on the dot.
#[derive(Default)]
struct Kinds {
    exact: Option<Vec<String>>,
    lows: Vec<String>,
    highs: Vec<String>,
}

impl Reader {
    /// One page of a search.
    pub(super) async fn search(
        &self,
        tenant_no: i64,
        query: &EventQuery,
    ) -> Result<Page, StoreError> {
        let Some(extent) = self.extent(tenant_no).await? else {
            return Ok(Page::default());
        };
        let range = self.range(tenant_no, extent, query).await?;
        let path = match &query.filter {
            EventFilter {
                dedup_id: Some(_), ..
            } => Path::DedupId,
            EventFilter {
                device: Some(device),
                ..
            } => Path::Device(*device),
            EventFilter {
                workspace: Some(workspace),
                ..
            } => match self.stream_no(tenant_no, *workspace).await? {
                Some(stream_no) => Path::Stream(stream_no),
                None => return Ok(Page::default()),
            },
            _unindexed => Path::Log,
        };
        let window = match path {
            Path::Log => Some(range.cut(query)),
            Path::DedupId => Some(range),
            Path::Device(device) => Some(self.device_window(range, device, query).await?),
            Path::Stream(stream_no) => self.stream_window(range, stream_no, query).await?,
        };
        match window {
            Some(window) if !window.is_empty() && query.limit > 0 => {
                self.page(path, window, query).await
            }
            _empty => Ok(Page::default()),
        }
    }

    /// The highest position whose event was received before a time.
    pub(super) async fn position_before(
        &self,
        extent: Extent,
        time: Timestamp,
    ) -> Result<Position, StoreError> {
        let place = self.place_before(extent, time).await?;
        Ok(if place < extent.oldest {
            Position::ZERO
        } else {
            position_of(place)
        })
    }

    /// The highest place whose event was received before a time; the one before the oldest if there is none.
    pub(super) async fn place_before(
        &self,
        extent: Extent,
        time: Timestamp,
    ) -> Result<i64, StoreError> {
        const BEFORE: &str =
            bisect!("(SELECT e.received_at FROM events AS e WHERE e.place = middle LIMIT 1) < $3");

        let (low, high) = (extent.oldest - 1, extent.newest + 1);
        self.number(BEFORE, &[&low, &high, &time.micros()]).await
    }

    async fn number(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<i64, StoreError> {
        match self.row(sql, parameters).await? {
            Some(row) => column(&row, 0),
            None => Err(corrupt("a hole where there can be none")),
        }
    }

    /// What the query's bounds leave of the log.
    async fn range(
        &self,
        tenant_no: i64,
        extent: Extent,
        query: &EventQuery,
    ) -> Result<Window, StoreError> {
        let mut range = Window::whole(extent.oldest, extent.newest).within(tenant_no, query);
        if let Some(from) = query.filter.from {
            range = range.from(Some(self.place_before(extent, from).await? + 1));
        }
        if let Some(to) = query.filter.to {
            range = range.to(Some(self.place_before(extent, to).await?));
        }
        Ok(range)
    }

    async fn stream_no(
        &self,
        tenant_no: i64,
        workspace: WorkspaceId,
    ) -> Result<Option<i64>, StoreError> {
        const FIND: &str = "SELECT no FROM streams WHERE tenant_no = $1 AND id = $2";

        let row = self.row(FIND, &[&tenant_no, &workspace.uuid()]).await?;
        row.map(|row| column(&row, 0)).transpose()
    }

    /// The seqs of a workspace's events within a range of places.
    async fn stream_window(
        &self,
        range: Window,
        stream_no: i64,
        query: &EventQuery,
    ) -> Result<Option<Window>, StoreError> {
        const ENDS: &str = "
            SELECT (SELECT e.seq FROM events AS e WHERE e.stream_no = $1 ORDER BY e.seq      LIMIT 1),
                   (SELECT e.seq FROM events AS e WHERE e.stream_no = $1 ORDER BY e.seq DESC LIMIT 1)";
        const BEFORE: &str = bisect!(
            "(SELECT e.place FROM events AS e WHERE e.stream_no = $4 AND e.seq = middle LIMIT 1) < $3"
        );

        let ends = match self.row(ENDS, &[&stream_no]).await? {
            Some(row) => (column(&row, 0)?, column(&row, 1)?),
            None => (None, None),
        };
        let (Some(oldest), Some(newest)): (Option<i64>, Option<i64>) = ends else {
            return Ok(None);
        };
        let (low, high) = (oldest - 1, newest + 1);
        let mut seqs = [0; 2];
        for (seq, place) in seqs.iter_mut().zip([range.first, range.last + 1]) {
            *seq = self
                .number(BEFORE, &[&low, &high, &place, &stream_no])
                .await?;
        }
        Ok(Some(Window::whole(seqs[0] + 1, seqs[1]).cut(query)))
    }

    /// The part of a range that holds no more events of a device than a page may look at.
    async fn device_window(
        &self,
        range: Window,
        device: DeviceId,
        query: &EventQuery,
    ) -> Result<Window, StoreError> {
        const ASCENDING: &str = "
            SELECT   place
            FROM     events
            WHERE    device = $1 AND place BETWEEN $2 AND $3
            ORDER BY place
            LIMIT    1 OFFSET $4";
        const DESCENDING: &str = "
            SELECT   place
            FROM     events
            WHERE    device = $1 AND place BETWEEN $2 AND $3
            ORDER BY place DESC
            LIMIT    1 OFFSET $4";

        let sql = match query.order {
            Order::Ascending => ASCENDING,
            Order::Descending => DESCENDING,
        };
        let skipped = i64::from(query.scan_max.saturating_sub(1));
        let row = self
            .row(sql, &[&device.uuid(), &range.first, &range.last, &skipped])
            .await?;
        let edge: Option<i64> = row.map(|row| column(&row, 0)).transpose()?;
        Ok(range.cut_at(edge, query.order))
    }

    async fn page(
        &self,
        path: Path,
        window: Window,
        query: &EventQuery,
    ) -> Result<Page, StoreError> {
        let filter = &query.filter;
        let bytes = |text: &Option<Box<str>>| text.as_ref().map(|text| text.as_bytes().to_vec());
        let along: Box<dyn ToSql + Sync + Send> = match path {
            Path::Log => Box::new(None::<i64>),
            Path::Stream(stream_no) => Box::new(stream_no),
            Path::Device(device) => Box::new(device.uuid()),
            Path::DedupId => Box::new(bytes(&filter.dedup_id)),
        };
        let kinds = Kinds::of(filter);
        let bytes_max = i64::try_from(query.bytes_max.max(1)).unwrap_or(i64::MAX);
        let rows = self
            .rows(
                page::statement(path, query.order),
                &[
                    &window.first,
                    &window.last,
                    &*along,
                    &bytes(&filter.category),
                    &bytes(&filter.project),
                    &bytes(&filter.actor),
                    &filter.workspace.map(WorkspaceId::uuid),
                    &kinds.exact,
                    &kinds.lows,
                    &kinds.highs,
                    &i64::from(query.limit),
                    &bytes_max,
                ],
            )
            .await?;
        let found = rows.iter().map(event_row::read);
        let mut events = found.collect::<Result<Vec<_>, _>>()?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let payloads: usize = events.iter().map(|event| event.payload.len()).sum();
        let is_full = events.len() >= limit || payloads >= query.bytes_max.max(1);
        let far_end = window.far_end(query.order);
        let reached = match (path, rows.last(), events.last()) {
            (Path::Stream(_), _, Some(event)) => Some((signed(event.seq.get()), event.position)),
            (_, Some(row), Some(event)) => Some((column(row, 0)?, event.position)),
            _none => None,
        };
        let next = match reached {
            Some((end, position)) if is_full => {
                (window.is_cut || end != far_end).then_some(position)
            }
            _ if window.is_cut => self.position_at(path, far_end).await?,
            _ => None,
        };
        events.retain(|event| filter.matches(event));
        Ok(Page { events, next })
    }

    /// The position at an end of a window.
    async fn position_at(&self, path: Path, end: i64) -> Result<Option<Position>, StoreError> {
        const AT: &str = "
            SELECT   place - (seq > $2)::INTEGER
            FROM     events
            WHERE    stream_no = $1 AND seq >= $2
            ORDER BY seq
            LIMIT    1";

        match path {
            Path::Log | Path::Device(_) | Path::DedupId => Ok(Some(position_of(end))),
            Path::Stream(stream_no) => {
                let row = self.row(AT, &[&stream_no, &end]).await?;
                row.map(|row| column(&row, 0).map(position_of)).transpose()
            }
        }
    }
}

impl Kinds {
    fn of(filter: &EventFilter) -> Kinds {
        let mut kinds = Kinds::default();
        let Some(wanted) = filter.kinds.as_ref().filter(|kinds| !kinds.is_all()) else {
            return kinds;
        };
        let mut exact = Vec::new();
        for pattern in wanted.patterns() {
            match pattern {
                // It stands for all, and then the list as a whole does.
                TypePattern::All => return Kinds::default(),
                TypePattern::Exact(kind) => exact.push(kind.as_str().to_owned()),
                TypePattern::Prefix(prefix) => {
                    kinds.lows.push(format!("{prefix}."));
                    kinds.highs.push(format!("{prefix}/"));
                }
            }
        }
        kinds.exact = Some(exact);
        kinds
    }
}
