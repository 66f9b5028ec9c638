//! Reads what is kept of devices: fences, credentials, messages.
//!
//! Every query names the tenant, so that a device of somebody else's is not found.

use domain::{fence::Fence, ids::DeviceId, time::Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use super::reader::{Reader, column};
use crate::{
    StoreError,
    log::{
        Credentials, Message, MessagePage, MessageQuery,
        device::rows::{MessageColumns, direction_no, message_state_no},
        stored::{corrupt, unsigned},
    },
};

/// Columns of a message, as [`message`] reads them.
macro_rules! message_columns {
    () => {
        "id, chat, sender, network_id, state, at, changed_at, position, edited, deleted, error_code,
         error, body"
    };
}

/// The messages that a page looks at. `$2` is the device; `$3` and `$4` are the ids that bound them, `$5` how many.
macro_rules! looked_at {
    ($columns:expr, $limit:literal) => {
        concat!(
            "SELECT   ",
            $columns,
            "
             FROM     messages
             WHERE    tenant_no = $1 AND device = $2 AND id > $3 AND id < $4
             ORDER BY id DESC
             ",
            $limit
        )
    };
}

/// One page of messages. `$6` is a chat, `$7` a direction, `$8` a state; NULL is any.
pub(super) const MESSAGES: &str = concat!(
    "SELECT   ",
    message_columns!(),
    "
     FROM     (",
    looked_at!(message_columns!(), "LIMIT $5::BIGINT"),
    ") AS looked_at
     WHERE    ($6::BYTEA IS NULL OR chat = $6)
              AND ($7::BIGINT IS NULL OR ($7 = 1) = (body IS NOT NULL OR sender = ''))
              AND ($8::BIGINT IS NULL OR state = $8)
     ORDER BY id DESC
     LIMIT    $9"
);

/// The last message that is looked at, unless there are fewer: then nothing is left.
pub(super) const LAST_MESSAGE: &str = looked_at!("id", "LIMIT 1 OFFSET $5::BIGINT - 1");

impl Reader {
    /// The highest fence that was written for a device; 0 if there was none.
    pub(super) async fn device_fence(
        &self,
        tenant_no: i64,
        device: DeviceId,
    ) -> Result<Fence, StoreError> {
        const FIND: &str = "SELECT fence FROM devices WHERE tenant_no = $1 AND device = $2";

        match self.row(FIND, &[&tenant_no, &device.uuid()]).await? {
            Some(row) => Ok(Fence::new(unsigned(column(&row, 0)?)?)),
            None => Ok(Fence::new(0)),
        }
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
            WHERE  tenant_no = $1 AND device = $2";

        let row = self.row(FIND, &[&tenant_no, &device.uuid()]).await?;
        row.map(|row| {
            let sealed: Vec<u8> = column(&row, 2)?;
            Ok(Credentials {
                fence: Fence::new(unsigned(column(&row, 0)?)?),
                sealed: sealed.into(),
                at: Timestamp::from_micros(column(&row, 1)?),
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
        let device = query.device.uuid();
        let after = query.after.unwrap_or(Uuid::nil());
        let before = query.before.unwrap_or(Uuid::max());
        let scan_max = i64::from(query.scan_max.max(1));
        let chat = query.chat.as_ref().map(|chat| chat.as_bytes());
        let direction = query.direction.map(direction_no);
        let state = query.state.map(message_state_no);
        let limit = i64::from(query.limit);
        let rows = self
            .rows(
                MESSAGES,
                &[
                    &tenant_no, &device, &after, &before, &scan_max, &chat, &direction, &state,
                    &limit,
                ],
            )
            .await?;
        let messages: Vec<Message> = rows.iter().map(message).collect::<Result<_, _>>()?;
        if i64::try_from(messages.len()).is_ok_and(|found| found >= limit) {
            let next = messages.last().map(|message| message.id);
            return Ok(MessagePage { messages, next });
        }
        let last = self
            .row(
                LAST_MESSAGE,
                &[&tenant_no, &device, &after, &before, &scan_max],
            )
            .await?;
        let next = last.map(|row| column(&row, 0)).transpose()?;
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
             WHERE  tenant_no = $1 AND device = $2 AND id = $3
             LIMIT  1"
        );

        let row = self.row(FIND, &[&tenant_no, &device.uuid(), &id]).await?;
        row.as_ref().map(message).transpose()
    }
}

fn message(row: &Row) -> Result<Message, StoreError> {
    let text = |index| {
        let bytes: Option<&[u8]> = column(row, index)?;
        let text = bytes.map(std::str::from_utf8).transpose();
        text.map(|text| text.map(Box::from))
            .map_err(|_not_text| corrupt("a text that is not UTF-8"))
    };
    let state: Option<i16> = column(row, 4)?;
    let body: Option<Vec<u8>> = column(row, 12)?;
    let columns = MessageColumns {
        id: column(row, 0)?,
        chat: text(1)?.unwrap_or_default(),
        sender: text(2)?.unwrap_or_default(),
        network_id: text(3)?,
        state: state.map(i64::from),
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
