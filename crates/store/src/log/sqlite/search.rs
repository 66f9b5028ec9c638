//! Searches a tenant's events and finds positions by time.
//!
//! A search looks at a window of the log that is bounded beforehand, along the shortest path that its filter allows, and
//! checks every row against the filter itself: SQL only leaves out what cannot match.

mod page;

use domain::{
    filter::EventFilter,
    ids::{DeviceId, WorkspaceId},
    position::Position,
    time::Timestamp,
};
use futures_util::TryStreamExt as _;

use super::{
    event_row,
    failure::store_error,
    reader::{Extent, Reader},
};
use crate::{
    StoreError,
    log::{
        EventQuery, Order, Page,
        stored::{place, position_of, signed},
        window::{Path, Window},
    },
};

/// The number halfway between `low` and `high`.
macro_rules! middle {
    () => {
        "(low + (high - low) / 2)"
    };
}

/// Finds the highest number between `?1` and `?2` (both excluded) for which `$is_before` holds, or `?1`; it must hold
/// for all numbers up to some point and for none after it. It is NULL for an event that has gone since the bounds were read:
/// that was an old one.
macro_rules! bisect {
    ($($is_before:expr),*) => {
        concat!(
            "WITH RECURSIVE search (low, high) AS (
                 SELECT ?1, ?2
                 UNION ALL
                 SELECT iif(coalesce(",
            $($is_before,)*
            ", 1), ",
            middle!(),
            ", low), iif(coalesce(",
            $($is_before,)*
            ", 1), high, ",
            middle!(),
            ")
                 FROM   search
                 WHERE  high - low > 1)
             SELECT low FROM search WHERE high - low <= 1 LIMIT 1"
        )
    };
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
                self.page(tenant_no, path, window, query).await
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
        const BEFORE: &str = bisect!(
            "(SELECT received_at FROM events WHERE place = ",
            middle!(),
            ") < ?3"
        );

        sqlx::query_scalar(BEFORE)
            .bind(extent.oldest - 1)
            .bind(extent.newest + 1)
            .bind(time.micros())
            .fetch_one(&self.pool)
            .await
            .map_err(store_error)
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
        const FIND: &str = "SELECT no FROM streams WHERE tenant_no = ?1 AND id = ?2";

        sqlx::query_scalar(FIND)
            .bind(tenant_no)
            .bind(&workspace.as_bytes()[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)
    }

    /// The seqs of a workspace's events within a range of places.
    async fn stream_window(
        &self,
        range: Window,
        stream_no: i64,
        query: &EventQuery,
    ) -> Result<Option<Window>, StoreError> {
        const ENDS: &str = "
            SELECT min(seq), max(seq)
            FROM   (SELECT * FROM (SELECT seq FROM events WHERE stream_no = ?1
                                   ORDER BY seq      LIMIT 1)
                    UNION ALL
                    SELECT * FROM (SELECT seq FROM events WHERE stream_no = ?1
                                   ORDER BY seq DESC LIMIT 1))";
        const BEFORE: &str = bisect!(
            "(SELECT place FROM events WHERE stream_no = ?4 AND seq = ",
            middle!(),
            ") < ?3"
        );

        let ends: (Option<i64>, Option<i64>) = sqlx::query_as(ENDS)
            .bind(stream_no)
            .fetch_one(&self.pool)
            .await
            .map_err(store_error)?;
        let (Some(oldest), Some(newest)) = ends else {
            return Ok(None);
        };
        let mut seqs = [0; 2];
        for (seq, place) in seqs.iter_mut().zip([range.first, range.last + 1]) {
            *seq = sqlx::query_scalar(BEFORE)
                .bind(oldest - 1)
                .bind(newest + 1)
                .bind(place)
                .bind(stream_no)
                .fetch_one(&self.pool)
                .await
                .map_err(store_error)?;
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
            FROM     events INDEXED BY events_by_device
            WHERE    device = ?1 AND place BETWEEN ?2 AND ?3
            ORDER BY place
            LIMIT    1 OFFSET ?4";
        const DESCENDING: &str = "
            SELECT   place
            FROM     events INDEXED BY events_by_device
            WHERE    device = ?1 AND place BETWEEN ?2 AND ?3
            ORDER BY place DESC
            LIMIT    1 OFFSET ?4";

        let sql = match query.order {
            Order::Ascending => ASCENDING,
            Order::Descending => DESCENDING,
        };
        let edge: Option<i64> = sqlx::query_scalar(sql)
            .bind(&device.as_bytes()[..])
            .bind(range.first)
            .bind(range.last)
            .bind(i64::from(query.scan_max.saturating_sub(1)))
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        Ok(range.cut_at(edge, query.order))
    }

    async fn page(
        &self,
        tenant_no: i64,
        path: Path,
        window: Window,
        query: &EventQuery,
    ) -> Result<Page, StoreError> {
        let rows_max = page::rows_max(path, query);
        let mut statement = page::statement(tenant_no, path, window, query);
        let mut rows = statement.build().fetch(&self.pool);
        let (mut events, mut bytes, mut seen, mut last) = (Vec::new(), 0, 0, None);
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        while events.len() < limit && bytes < query.bytes_max.max(1) {
            let Some(row) = rows.try_next().await.map_err(store_error)? else {
                break;
            };
            let event = event_row::read(&row)?;
            seen += 1;
            last = Some((event.position, event.seq));
            if query.filter.matches(&event) {
                bytes += event.payload.len();
                events.push(event);
            }
        }
        drop(rows);

        let is_full = events.len() == limit || bytes >= query.bytes_max.max(1) || seen == rows_max;
        let far_end = window.far_end(query.order);
        let next = match last {
            Some((position, seq)) if is_full => {
                let reached = match path {
                    Path::Stream(_) => signed(seq.get()),
                    Path::Log | Path::Device(_) | Path::DedupId => place(tenant_no, position),
                };
                (window.is_cut || reached != far_end).then_some(position)
            }
            _ if window.is_cut => self.position_at(path, far_end).await?,
            _ => None,
        };
        Ok(Page { events, next })
    }

    /// The position at an end of a window. If its event has gone meanwhile, the one before the oldest that is kept.
    async fn position_at(&self, path: Path, end: i64) -> Result<Option<Position>, StoreError> {
        const AT: &str = "
            SELECT   place - (seq > ?2)
            FROM     events
            WHERE    stream_no = ?1 AND seq >= ?2
            ORDER BY seq
            LIMIT    1";

        match path {
            Path::Log | Path::Device(_) | Path::DedupId => Ok(Some(position_of(end))),
            Path::Stream(stream_no) => {
                let place: Option<i64> = sqlx::query_scalar(AT)
                    .bind(stream_no)
                    .bind(end)
                    .fetch_optional(&self.pool)
                    .await
                    .map_err(store_error)?;
                Ok(place.map(position_of))
            }
        }
    }
}
