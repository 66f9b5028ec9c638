//! Turns the parts of a commit into rows, and finds the parts that cannot be written before anything is.
//!
//! Reads through the writer's connection what is not remembered; writes nothing except to drop answers that have expired.

mod device;

use domain::{
    fence::Fence,
    idempotency::ANSWERS_KEPT_FOR,
    ids::{TenantId, WorkspaceId},
    position::{POSITION_MAX, Position, Seq},
    time::Timestamp,
};

use super::{
    super::{
        batch::Batch,
        event_row,
        names::{LastNumbers, Stream, Tenant},
        statement::Kind,
    },
    Trouble, Writer,
};
use crate::{
    StoreError,
    log::{
        Append, IdempotentAnswer, Write, WriteError,
        fold::Fold,
        stored::{position_of, unsigned},
    },
};

/// A place has room for so many tenants beside 40 bits of position.
const TENANT_NO_MAX: i64 = (1 << 23) - 1;

impl Writer {
    /// Adds one part's rows, or says why it cannot be written.
    pub(super) async fn plan<'a>(
        &mut self,
        part: &'a Write,
        batch: &mut Batch,
        fold: &mut Fold<'a>,
    ) -> Result<Result<(), WriteError>, Trouble> {
        if let Some(fence) = part.fence() {
            let held = self.tenant(part.tenant()).await?.fence;
            if fence < held {
                return Ok(Err(WriteError::Fenced { held }));
            }
            if fence > held {
                self.raise_fence(part.tenant(), fence, batch, fold).await?;
            }
        }
        match part {
            Write::Append(append) => {
                let outcome = self.plan_append(append, batch).await?;
                if outcome.is_ok() {
                    self.mark_messages(append, batch, fold).await?;
                }
                return Ok(outcome);
            }
            Write::Settle(settle) => {
                fold.settle(self.tenant_no(settle.tenant, batch).await?, settle);
            }
            Write::Dispatch(dispatch) => {
                fold.dispatch(self.tenant_no(dispatch.tenant, batch).await?, dispatch);
            }
            Write::Consume(consume) => {
                fold.consume(self.tenant_no(consume.tenant, batch).await?, consume);
            }
            Write::Replay { tenant, replay, .. } => {
                fold.replay(self.tenant_no(*tenant, batch).await?, replay);
            }
            Write::ForgetWebhook {
                tenant, webhook, ..
            } => {
                fold.forget(self.tenant_no(*tenant, batch).await?, *webhook);
            }
            Write::OpenDevice { .. }
            | Write::Credentials { .. }
            | Write::Outgoing { .. }
            | Write::Outcome { .. }
            | Write::ForgetDevice { .. } => return self.plan_device(part, batch, fold).await,
        }
        Ok(Ok(()))
    }

    /// Adds an append's rows if it fits onto the end of the log; what it does to messages is not among them.
    pub(super) async fn plan_append(
        &mut self,
        append: &Append,
        batch: &mut Batch,
    ) -> Result<Result<(), WriteError>, Trouble> {
        let mut tenant = self.tenant(append.tenant).await?;
        if tenant.head != append.expected_head && tenant.moved_by != self.commit_no {
            // Somebody else may have written; what is on the disk decides.
            tenant = self.load_tenant(append.tenant).await?;
        }
        if !is_next(append, tenant.head) {
            return Ok(Err(WriteError::HeadMoved { head: tenant.head }));
        }
        if let Some(replaced) = self.find_replaced(append).await? {
            return Ok(Err(replaced));
        }
        let end = append
            .events
            .last()
            .map_or(tenant.head, |event| event.position);
        if end > POSITION_MAX {
            let says = "the tenant's log has no positions left";
            return Ok(Err(StoreError::Unavailable(says.to_owned()).into()));
        }

        let tenant_no = self.tenant_no(append.tenant, batch).await?;
        let Some(stream_nos) = self.stream_nos(tenant_no, append, batch).await? else {
            return Ok(Err(seq_is_taken()));
        };
        for (event, stream_no) in append.events.iter().zip(stream_nos) {
            event_row::write(batch.row(Kind::Events), event, tenant_no, stream_no);
        }
        for (workspace, node) in &append.nodes {
            let stream = self.stream(tenant_no, *workspace, batch).await?;
            batch
                .row(Kind::TreeNodes)
                .int(stream.no)
                .int(node.level.into())
                .count(node.index)
                .bytes(&node.hash.0);
        }
        for answer in &append.answers {
            write_answer(batch, tenant_no, answer);
        }
        let moved = Tenant {
            no: Some(tenant_no),
            head: end,
            fence: tenant.fence,
            moved_by: self.commit_no,
        };
        self.names.set_tenant(append.tenant, moved);
        Ok(Ok(()))
    }

    /// Keeps everybody out who holds the tenant under a lower fence.
    async fn raise_fence(
        &mut self,
        id: TenantId,
        fence: Fence,
        batch: &mut Batch,
        fold: &mut Fold<'_>,
    ) -> Result<(), Trouble> {
        let no = self.tenant_no(id, batch).await?;
        fold.raise(no, fence);
        let tenant = self.tenant(id).await?;
        self.names.set_tenant(id, Tenant { fence, ..tenant });
        Ok(())
    }

    /// Makes room for answers whose keys are free again.
    pub(super) async fn drop_expired_answers(&mut self, append: &Append) -> Result<(), Trouble> {
        const DROP_EXPIRED: &str = "
            DELETE FROM idempotent_answers
            WHERE  tenant_no = ?1 AND key_hash = ?2 AND expires_at <= ?3";

        let Some(tenant_no) = self.tenant(append.tenant).await?.no else {
            return Ok(());
        };
        for answer in &append.answers {
            sqlx::query(DROP_EXPIRED)
                .bind(tenant_no)
                .bind(&answer.key_hash[..])
                .bind(given_at(append, answer).micros())
                .execute(self.connection()?)
                .await?;
        }
        Ok(())
    }

    /// Finds out why an append ran into a row that was there.
    pub(super) async fn blame(&mut self, append: &Append) -> Result<WriteError, Trouble> {
        const IS_TAKEN: &str = "
            SELECT count(*)
            FROM   idempotent_answers
            WHERE  tenant_no = ?1 AND key_hash = ?2";

        let tenant = self.load_tenant(append.tenant).await?;
        if tenant.head != append.expected_head {
            return Ok(WriteError::HeadMoved { head: tenant.head });
        }
        let mut keys: Vec<&[u8; 32]> = append
            .answers
            .iter()
            .map(|answer| &answer.key_hash)
            .collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Ok(WriteError::AnswerTaken);
        }
        for key in keys {
            let taken: i64 = sqlx::query_scalar(IS_TAKEN)
                .bind(tenant.no)
                .bind(&key[..])
                .fetch_one(self.connection()?)
                .await?;
            if taken > 0 {
                return Ok(WriteError::AnswerTaken);
            }
        }
        Ok(seq_is_taken())
    }

    async fn tenant(&mut self, id: TenantId) -> Result<Tenant, Trouble> {
        match self.names.tenant(id) {
            Some(tenant) => Ok(tenant),
            None => self.load_tenant(id).await,
        }
    }

    async fn load_tenant(&mut self, id: TenantId) -> Result<Tenant, Trouble> {
        const LOAD: &str = "
            SELECT t.no, t.fence, t.removed,
                   (SELECT   e.place
                    FROM     events AS e
                    WHERE    e.place BETWEEN t.no << 40 AND (t.no << 40) | 1099511627775
                    ORDER BY e.place DESC
                    LIMIT    1)
            FROM   tenants AS t
            WHERE  t.id = ?1";

        let row: Option<(i64, i64, i64, Option<i64>)> = sqlx::query_as(LOAD)
            .bind(&id.as_bytes()[..])
            .fetch_optional(self.connection()?)
            .await?;
        // A fence that the present commit raises is not on the disk yet.
        let raised = self
            .names
            .tenant(id)
            .map_or(Fence::FIRST, |known| known.fence);
        let tenant = match row {
            Some((no, fence, removed, end)) => Tenant {
                no: Some(no),
                head: match end {
                    Some(end) => position_of(end),
                    None => Position::new(unsigned(removed)?),
                },
                fence: Fence::new(unsigned(fence)?).max(raised),
                moved_by: 0,
            },
            None => Tenant {
                no: None,
                head: Position::ZERO,
                fence: raised,
                moved_by: 0,
            },
        };
        self.names.set_tenant(id, tenant);
        Ok(tenant)
    }

    /// The tenant's number; gives it one if it has none.
    async fn tenant_no(&mut self, id: TenantId, batch: &mut Batch) -> Result<i64, Trouble> {
        let tenant = self.tenant(id).await?;
        if let Some(no) = tenant.no {
            return Ok(no);
        }
        let no = self.last_numbers().await?.tenant + 1;
        if no > TENANT_NO_MAX {
            let says = "the region has no room for another tenant";
            return Err(StoreError::Unavailable(says.to_owned()).into());
        }
        if let Some(last) = &mut self.names.last {
            last.tenant = no;
        }
        batch.row(Kind::Tenants).int(no).bytes(id.as_bytes());
        // Not to be loaded again in this commit: the disk does not know the number yet.
        let numbered = Tenant {
            no: Some(no),
            moved_by: self.commit_no,
            ..tenant
        };
        self.names.set_tenant(id, numbered);
        Ok(no)
    }

    /// The number of each event's stream; `None` if one of them has a seq whose event is gone.
    async fn stream_nos(
        &mut self,
        tenant_no: i64,
        append: &Append,
        batch: &mut Batch,
    ) -> Result<Option<Vec<i64>>, Trouble> {
        let mut numbers = Vec::with_capacity(append.events.len());
        let mut last: Option<(WorkspaceId, Stream)> = None;
        for event in &append.events {
            let stream = match last {
                Some((workspace, stream)) if workspace == event.workspace => stream,
                _other => self.stream(tenant_no, event.workspace, batch).await?,
            };
            if event.seq <= stream.removed {
                return Ok(None);
            }
            last = Some((event.workspace, stream));
            numbers.push(stream.no);
        }
        Ok(Some(numbers))
    }

    /// A workspace's stream; gives it a number if it has none.
    async fn stream(
        &mut self,
        tenant_no: i64,
        workspace: WorkspaceId,
        batch: &mut Batch,
    ) -> Result<Stream, Trouble> {
        const FIND: &str = "SELECT no, seq FROM streams WHERE tenant_no = ?1 AND id = ?2";

        if let Some(stream) = self.names.stream(tenant_no, workspace) {
            return Ok(stream);
        }
        let found: Option<(i64, i64)> = sqlx::query_as(FIND)
            .bind(tenant_no)
            .bind(&workspace.as_bytes()[..])
            .fetch_optional(self.connection()?)
            .await?;
        let stream = match found {
            Some((no, removed)) => Stream {
                no,
                removed: Seq::new(unsigned(removed)?),
            },
            None => {
                let no = self.last_numbers().await?.stream + 1;
                if let Some(last) = &mut self.names.last {
                    last.stream = no;
                }
                batch
                    .row(Kind::Streams)
                    .int(no)
                    .int(tenant_no)
                    .bytes(workspace.as_bytes());
                Stream {
                    no,
                    removed: Seq::default(),
                }
            }
        };
        self.names.set_stream(tenant_no, workspace, stream);
        Ok(stream)
    }

    async fn last_numbers(&mut self) -> Result<LastNumbers, Trouble> {
        const LAST: &str = "
            SELECT (SELECT coalesce(max(no), 0) FROM tenants),
                   (SELECT coalesce(max(no), 0) FROM streams)";

        if let Some(last) = self.names.last {
            return Ok(last);
        }
        let (tenant, stream) = sqlx::query_as(LAST).fetch_one(self.connection()?).await?;
        let last = LastNumbers { tenant, stream };
        self.names.last = Some(last);
        Ok(last)
    }
}

/// Whether the events are numbered on from the log's head without a hole.
fn is_next(append: &Append, head: Position) -> bool {
    let mut position = head;
    append.expected_head == head
        && append.events.iter().all(|event| {
            position = position.next();
            event.position == position
        })
}

/// When an answer was given: with its events, or as long ago as it will be kept.
fn given_at(append: &Append, answer: &IdempotentAnswer) -> Timestamp {
    append.events.last().map_or_else(
        || answer.expires_at.minus(ANSWERS_KEPT_FOR),
        |event| event.received_at,
    )
}

fn seq_is_taken() -> WriteError {
    let says = "a seq or a tree node of the append is there already";
    StoreError::Conflict(says.to_owned()).into()
}

fn write_answer(batch: &mut Batch, tenant_no: i64, answer: &IdempotentAnswer) {
    batch
        .row(Kind::Answers)
        .int(tenant_no)
        .bytes(&answer.key_hash)
        .bytes(&answer.request_hash)
        .int(answer.status.into())
        .int(answer.expires_at.micros())
        .bytes(&answer.body);
}
