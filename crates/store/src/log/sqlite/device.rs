//! Reads what is kept of devices: fences, credentials, messages.
//!
//! Every query names the tenant, so that a device of somebody else's is not found.

use domain::{fence::Fence, ids::DeviceId, time::Timestamp};
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{delivery::column, failure::store_error, reader::Reader};
use crate::{
    StoreError,
    log::{
        Credentials, Message, MessagePage, MessageQuery,
        device::rows::{MessageColumns, direction_no, message_state_no},
        stored::{unsigned, uuid},
    },
};

/// Columns of a message, as [`message`] reads them.
macro_rules! message_columns {
    () => {
        "id, chat, sender, network_id, state, at, changed_at, position, edited, deleted, error_code,
         error, body"
    };
}

/// The messages that a page looks at. `?2` is the device; `?3` and `?4` are the ids that bound them, `?5` how many.
macro_rules! looked_at {
    ($columns:expr) => {
        concat!(
            "SELECT   ",
            $columns,
            "
             FROM     messages INDEXED BY messages_by_id
             WHERE    tenant_no = ?1 AND device = ?2 AND id > ?3 AND id < ?4
             ORDER BY id DESC
             LIMIT    ?5"
        )
    };
}

impl Reader {
    /// The highest fence that was written for a device; 0 if there was none.
    pub(super) async fn device_fence(
        &self,
        tenant_no: i64,
        device: DeviceId,
    ) -> Result<Fence, StoreError> {
        const FIND: &str = "SELECT fence FROM devices WHERE tenant_no = ?1 AND device = ?2";

        let found: Option<i64> = sqlx::query_scalar(FIND)
            .bind(tenant_no)
            .bind(&device.as_bytes()[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        Ok(Fence::new(found.map(unsigned).transpose()?.unwrap_or(0)))
    }

    /// What a device's connector keeps.
    pub(super) async fn credentials(
        &self,
        tenant_no: i64,
        device: DeviceId,
    ) -> Result<Option<Credentials>, StoreError> {
        const FIND: &str = "
            SELECT fence, at, sealed
            FROM   device_credentials
            WHERE  tenant_no = ?1 AND device = ?2";

        let found: Option<(i64, i64, Vec<u8>)> = sqlx::query_as(FIND)
            .bind(tenant_no)
            .bind(&device.as_bytes()[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        found
            .map(|(fence, at, sealed)| {
                Ok(Credentials {
                    fence: Fence::new(unsigned(fence)?),
                    sealed: sealed.into(),
                    at: Timestamp::from_micros(at),
                })
            })
            .transpose()
    }

    /// One page of a device's messages, newest first.
    pub(super) async fn messages(
        &self,
        tenant_no: i64,
        query: &MessageQuery,
    ) -> Result<MessagePage, StoreError> {
        const LIST: &str = concat!(
            "SELECT   ",
            message_columns!(),
            "
             FROM     (",
            looked_at!(message_columns!()),
            ")
             WHERE    (?6 IS NULL OR chat = ?6)
                      AND (?7 IS NULL OR ?7 = (body IS NOT NULL OR sender = ''))
                      AND (?8 IS NULL OR state = ?8)
             ORDER BY id DESC
             LIMIT    ?9"
        );
        /// The last one that is looked at, unless there are fewer: then nothing is left.
        const LAST: &str = concat!(looked_at!("id"), " OFFSET ?5 - 1");

        let after = query.after.unwrap_or(Uuid::nil());
        let before = query.before.unwrap_or(Uuid::max());
        let rows = sqlx::query(LIST)
            .bind(tenant_no)
            .bind(&query.device.as_bytes()[..])
            .bind(&after.as_bytes()[..])
            .bind(&before.as_bytes()[..])
            .bind(query.scan_max)
            .bind(query.chat.as_deref())
            .bind(query.direction.map(direction_no))
            .bind(query.state.map(message_state_no))
            .bind(query.limit)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        let messages: Vec<Message> = rows.iter().map(message).collect::<Result<_, _>>()?;
        if messages.len() >= query.limit as usize {
            let next = messages.last().map(|message| message.id);
            return Ok(MessagePage { messages, next });
        }
        let last: Option<Vec<u8>> = sqlx::query_scalar(LAST)
            .bind(tenant_no)
            .bind(&query.device.as_bytes()[..])
            .bind(&after.as_bytes()[..])
            .bind(&before.as_bytes()[..])
            .bind(query.scan_max)
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        let next = last.as_deref().map(uuid).transpose()?;
        Ok(MessagePage { messages, next })
    }

    /// One message of a device.
    pub(super) async fn message(
        &self,
        tenant_no: i64,
        device: DeviceId,
        id: Uuid,
    ) -> Result<Option<Message>, StoreError> {
        const FIND: &str = concat!(
            "SELECT ",
            message_columns!(),
            "
             FROM   messages
             WHERE  tenant_no = ?1 AND device = ?2 AND id = ?3
             LIMIT  1"
        );

        let row = sqlx::query(FIND)
            .bind(tenant_no)
            .bind(&device.as_bytes()[..])
            .bind(&id.as_bytes()[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        row.as_ref().map(message).transpose()
    }
}

fn message(row: &SqliteRow) -> Result<Message, StoreError> {
    let text = |index| column(row, index).map(|text: Option<&str>| text.map(Box::from));
    let body: Option<Vec<u8>> = column(row, 12)?;
    let columns = MessageColumns {
        id: uuid(column(row, 0)?)?,
        chat: text(1)?.unwrap_or_default(),
        sender: text(2)?.unwrap_or_default(),
        network_id: text(3)?,
        state: column(row, 4)?,
        at: column(row, 5)?,
        changed_at: column(row, 6)?,
        position: column(row, 7)?,
        edited: column(row, 8)?,
        deleted: column(row, 9)?,
        error_code: text(10)?,
        error: text(11)?,
        body: body.map(Into::into),
    };
    columns.into_message()
}
