//! How an event becomes a row, and a row an event again.

use bytes::Bytes;
use domain::{event::Event, ids::DeviceId};
use tokio_postgres::Row;

use super::{batch::Batch, failure::store_error, statement::Kind};
use crate::{
    StoreError,
    log::stored::{Columns, body, corrupt, place},
};

/// The columns of an event as [`read`] wants them, for a query of `events AS e` and `streams AS s`.
macro_rules! event_columns {
    () => {
        "e.place, s.id, e.seq, e.received_at, e.device, e.kind, e.category, e.project, e.actor_id,
         e.dedup_id, e.body, e.payload"
    };
}
pub(super) use event_columns;

/// The hash in a body, for SQL, whose `substr` counts from 1.
macro_rules! hash_in_body {
    () => {
        "substr(e.body, 82, 32)"
    };
}
pub(super) use hash_in_body;

/// The id in a body, for SQL.
macro_rules! id_in_body {
    () => {
        "substr(e.body, 2, 16)"
    };
}
pub(super) use id_in_body;

/// Adds an event's row.
pub(super) fn write<'a>(batch: &mut Batch<'a>, event: &'a Event, tenant_no: i64, stream_no: i64) {
    let fields = &event.fields;
    let actor_id = fields.actor.as_ref().and_then(|actor| actor.id.as_deref());
    batch
        .row(Kind::Events)
        .int(place(tenant_no, event.position))
        .int(stream_no)
        .count(event.seq.get())
        .int(event.received_at.micros())
        .maybe_uuid(fields.device.map(DeviceId::uuid))
        .text(event.kind.as_str())
        .maybe_text(fields.category.as_deref())
        .maybe_text(fields.project.as_deref())
        .maybe_text(actor_id)
        .maybe_text(fields.dedup_id.as_deref())
        .bytes(body(event))
        .bytes(&event.payload[..]);
}

/// Reads the event of a row that was selected with [`event_columns`].
pub(super) fn read(row: &Row) -> Result<Event, StoreError> {
    let columns = Columns {
        place: row.try_get(0).map_err(store_error)?,
        workspace: row.try_get(1).map_err(store_error)?,
        seq: row.try_get(2).map_err(store_error)?,
        received_at: row.try_get(3).map_err(store_error)?,
        device: row.try_get(4).map_err(store_error)?,
        kind: row.try_get(5).map_err(store_error)?,
        category: maybe_text(row, 6)?,
        project: maybe_text(row, 7)?,
        actor_id: maybe_text(row, 8)?,
        dedup_id: maybe_text(row, 9)?,
        body: row.try_get(10).map_err(store_error)?,
        payload: Bytes::copy_from_slice(row.try_get(11).map_err(store_error)?),
    };
    columns.into_event()
}

/// Reads a text that is stored as bytes.
pub(super) fn maybe_text(row: &Row, column: usize) -> Result<Option<Box<str>>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get(column).map_err(store_error)?;
    bytes.map(text).transpose()
}

/// Reads a text from its bytes.
pub(super) fn text(bytes: &[u8]) -> Result<Box<str>, StoreError> {
    std::str::from_utf8(bytes)
        .map(Box::from)
        .map_err(|_not_text| corrupt("a text that is not UTF-8"))
}
