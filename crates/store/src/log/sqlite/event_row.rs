//! How an event becomes a row, and a row an event again.

use domain::event::Event;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{batch::Row, failure::store_error};
use crate::{
    StoreError,
    log::stored::{Columns, body, place, uuid},
};

/// The columns of an event as [`read`] wants them, for a query `FROM events AS e CROSS JOIN streams AS s`.
macro_rules! event_columns {
    () => {
        "e.place, s.id, e.seq, e.received_at, e.kind, e.category, e.project, e.actor_id, e.dedup_id,
         e.device, e.body, e.payload"
    };
}
pub(super) use event_columns;

/// The hash in a body, for SQL, whose `substr` counts from 1.
macro_rules! hash_in_body {
    () => {
        "substr(body, 82, 32)"
    };
}
pub(super) use hash_in_body;

/// The id in a body, for SQL.
macro_rules! id_in_body {
    () => {
        "substr(body, 2, 16)"
    };
}
pub(super) use id_in_body;

/// Adds an event's columns to a row.
pub(super) fn write(row: &mut Row, event: &Event, tenant_no: i64, stream_no: i64) {
    let fields = &event.fields;
    let actor_id = fields.actor.as_ref().and_then(|actor| actor.id.as_deref());
    row.int(place(tenant_no, event.position))
        .int(stream_no)
        .count(event.seq.get())
        .int(event.received_at.micros())
        .text(event.kind.as_str())
        .maybe_text(fields.category.as_deref())
        .maybe_text(fields.project.as_deref())
        .maybe_text(actor_id)
        .maybe_text(fields.dedup_id.as_deref())
        .maybe_bytes(fields.device.as_ref().map(|device| &device.as_bytes()[..]))
        .owned_bytes(body(event))
        .bytes(&event.payload);
}

/// Reads the event of a row that was selected with [`event_columns`].
pub(super) fn read(row: &SqliteRow) -> Result<Event, StoreError> {
    let payload: Vec<u8> = row.try_get(11).map_err(store_error)?;
    let device: Option<&[u8]> = row.try_get(9).map_err(store_error)?;
    let columns = Columns {
        place: row.try_get(0).map_err(store_error)?,
        workspace: uuid(row.try_get(1).map_err(store_error)?)?,
        seq: row.try_get(2).map_err(store_error)?,
        received_at: row.try_get(3).map_err(store_error)?,
        kind: row.try_get(4).map_err(store_error)?,
        category: maybe_text(row, 5)?,
        project: maybe_text(row, 6)?,
        actor_id: maybe_text(row, 7)?,
        dedup_id: maybe_text(row, 8)?,
        device: device.map(uuid).transpose()?,
        body: row.try_get(10).map_err(store_error)?,
        payload: payload.into(),
    };
    columns.into_event()
}

fn maybe_text(row: &SqliteRow, column: usize) -> Result<Option<Box<str>>, StoreError> {
    let text: Option<&str> = row.try_get(column).map_err(store_error)?;
    Ok(text.map(Box::from))
}
