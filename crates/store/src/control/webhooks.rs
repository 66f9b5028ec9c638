//! Webhooks as their owners configured them, with their secrets sealed, and the numbers that region logs call them by.
//!
//! Seals and opens nothing, and knows no progress: where a webhook stands is kept beside the events, in its region.

mod sealed;

use domain::{
    ids::{TenantId, WebhookId},
    position::Position,
    time::Timestamp,
    webhook::WebhookState,
};
use sqlx::{AnyConnection, any::AnyRow};

pub use self::sealed::SealedWebhook;
use super::{
    Control,
    columns::{
        after, big, flag, json, maybe_number, maybe_parsed, maybe_text, maybe_time, number, parsed,
        text, time, to_json,
    },
    counters::bump,
    failure::{Failed, Outcome as _},
    limits::refuse_beyond,
};
use crate::StoreError;

/// Webhooks read at once when all are asked for.
const PAGE: u32 = 500;
/// The counter that numbers come from.
const NUMBERS: &str = "webhooks.no";

macro_rules! columns {
    () => {
        "id, no, tenant, workspace, url, events, description, state, headers, timeout_ms, retry, max_in_flight, \
         rate_per_second, ordered, secret, previous_secret, previous_secret_until, starts_after, version, created_at, \
         updated_at"
    };
}

const COUNT: &str = "
    SELECT COUNT(*) AS counted
    FROM   webhooks
    WHERE  tenant = $1";

const INSERT: &str = concat!(
    "
    INSERT INTO webhooks (",
    columns!(),
    ")
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)"
);

const BY_ID: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   webhooks
    WHERE  tenant = $1
    AND    id = $2"
);

const BY_NO: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   webhooks
    WHERE  tenant = $1
    AND    no = $2"
);

const LIST: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   webhooks
    WHERE  tenant = $1
    AND    id > $2
    ORDER BY id
    LIMIT  $3"
);

const UPDATE: &str = "
    UPDATE webhooks
    SET    workspace = $3, url = $4, events = $5, description = $6, state = $7, headers = $8, timeout_ms = $9,
           retry = $10, max_in_flight = $11, rate_per_second = $12, ordered = $13, secret = $14, previous_secret = $15,
           previous_secret_until = $16, updated_at = $17, version = version + 1
    WHERE  tenant = $1
    AND    id = $2
    AND    version = COALESCE($18, version)
    RETURNING version";

const SET_STATE: &str = "
    UPDATE webhooks
    SET    state = $3,
           updated_at = $4,
           version = version + 1
    WHERE  tenant = $1
    AND    id = $2
    RETURNING version";

const DELETE: &str = "
    DELETE FROM webhooks
    WHERE  tenant = $1
    AND    id = $2
    AND    version = COALESCE($3, version)
    RETURNING no";

impl Control {
    /// Adds a webhook and answers it with its number and first version; those that it came with are not looked at.
    ///
    /// [`StoreError::LimitReached`] if the tenant has `max` already: of many at once, no more than fit get in.
    /// [`StoreError::NotFound`] if its workspace is not the tenant's.
    pub async fn create_webhook(
        &self,
        tenant: TenantId,
        webhook: SealedWebhook,
        max: Option<u32>,
    ) -> Result<SealedWebhook, StoreError> {
        self.database
            .again(|| self.try_to_create(tenant, &webhook, max))
            .await
    }

    async fn try_to_create(
        &self,
        tenant: TenantId,
        webhook: &SealedWebhook,
        max: Option<u32>,
    ) -> Result<SealedWebhook, Failed> {
        let mut transaction = self.database.begin().await?;
        // Taking the number first makes others wait, so that the count below is still true when this transaction ends.
        let no = bump(&mut transaction, NUMBERS).await?;
        if let Some(max) = max {
            refuse_beyond(&mut transaction, COUNT, tenant, ("webhooks", max)).await?;
        }
        let webhook = SealedWebhook {
            no: no.unsigned_abs(),
            tenant,
            version: 1,
            ..webhook.clone()
        };
        insert(&mut transaction, &webhook).await?;
        transaction.commit().await.or_collide()?;
        Ok(webhook)
    }

    /// One page of the tenant's webhooks, oldest first: those after `after`, at most `limit`.
    pub async fn webhooks(
        &self,
        tenant: TenantId,
        after: Option<WebhookId>,
        limit: u32,
    ) -> Result<Vec<SealedWebhook>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(tenant.to_string())
            .bind(self::after(after))
            .bind(i64::from(limit))
            .fetch_all(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        rows.iter().map(from_row).collect()
    }

    /// All webhooks of the tenant, oldest first: what its actor matches events against.
    pub async fn all_webhooks(&self, tenant: TenantId) -> Result<Vec<SealedWebhook>, StoreError> {
        let mut all: Vec<SealedWebhook> = Vec::new();
        loop {
            let after = all.last().map(|webhook| webhook.id);
            let page = self.webhooks(tenant, after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The tenant's webhook with this id.
    pub async fn webhook(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
    ) -> Result<Option<SealedWebhook>, StoreError> {
        sqlx::query(BY_ID)
            .bind(tenant.to_string())
            .bind(webhook.to_string())
            .fetch_optional(&mut self.database.reader().await?)
            .await
            .or_fail()?
            .map(|row| from_row(&row))
            .transpose()
    }

    /// The tenant's webhook with this number.
    pub async fn webhook_by_no(
        &self,
        tenant: TenantId,
        no: u64,
    ) -> Result<Option<SealedWebhook>, StoreError> {
        sqlx::query(BY_NO)
            .bind(tenant.to_string())
            .bind(big(no))
            .fetch_optional(&mut self.database.reader().await?)
            .await
            .or_fail()?
            .map(|row| from_row(&row))
            .transpose()
    }

    /// Changes everything of a webhook that can change to what `changed` says, and answers its new version. With
    /// `if_version`, only if that is its present version; whoever changes what it has read passes that.
    pub async fn update_webhook(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
        changed: &SealedWebhook,
        if_version: Option<i64>,
    ) -> Result<i64, StoreError> {
        let previous = changed.previous_secret.as_ref();
        let row = sqlx::query(UPDATE)
            .bind(tenant.to_string())
            .bind(webhook.to_string())
            .bind(changed.workspace.map(|workspace| workspace.to_string()))
            .bind(changed.url.as_str())
            .bind(to_json(&changed.events))
            .bind(changed.description.as_str())
            .bind(changed.state.name())
            .bind(to_json(&changed.headers))
            .bind(i64::from(changed.timeout_ms))
            .bind(to_json(&changed.retry))
            .bind(i64::from(changed.max_in_flight))
            .bind(changed.rate_per_second.map(i64::from))
            .bind(i64::from(changed.ordered))
            .bind(changed.secret.as_str())
            .bind(previous.map(|(secret, _)| secret.as_str()))
            .bind(previous.map(|(_, until)| until.micros()))
            .bind(changed.updated_at.micros())
            .bind(if_version)
            .fetch_optional(&mut self.database.writer().await?)
            .await
            .or_dangling("workspace")?;
        match row {
            Some(row) => number(&row, "version"),
            None => Err(self.why_not(tenant, webhook).await?),
        }
    }

    /// Changes nothing but whether deliveries are made, whatever else was changed meanwhile. Answers the new version.
    pub async fn set_webhook_state(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
        state: WebhookState,
        at: Timestamp,
    ) -> Result<i64, StoreError> {
        let row = sqlx::query(SET_STATE)
            .bind(tenant.to_string())
            .bind(webhook.to_string())
            .bind(state.name())
            .bind(at.micros())
            .fetch_optional(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        let row = row.ok_or(StoreError::NotFound("webhook"))?;
        number(&row, "version")
    }

    /// Deletes a webhook and answers its number, for what is to be forgotten in its region.
    pub async fn delete_webhook(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
        if_version: Option<i64>,
    ) -> Result<u64, StoreError> {
        let row = sqlx::query(DELETE)
            .bind(tenant.to_string())
            .bind(webhook.to_string())
            .bind(if_version)
            .fetch_optional(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        match row {
            Some(row) => number(&row, "no"),
            None => Err(self.why_not(tenant, webhook).await?),
        }
    }

    /// Why a guarded write met no row.
    async fn why_not(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
    ) -> Result<StoreError, StoreError> {
        Ok(match self.webhook(tenant, webhook).await? {
            Some(_) => StoreError::VersionMismatch,
            None => StoreError::NotFound("webhook"),
        })
    }
}

async fn insert(on: &mut AnyConnection, webhook: &SealedWebhook) -> Result<(), StoreError> {
    let previous = webhook.previous_secret.as_ref();
    sqlx::query(INSERT)
        .bind(webhook.id.to_string())
        .bind(big(webhook.no))
        .bind(webhook.tenant.to_string())
        .bind(webhook.workspace.map(|workspace| workspace.to_string()))
        .bind(webhook.url.as_str())
        .bind(to_json(&webhook.events))
        .bind(webhook.description.as_str())
        .bind(webhook.state.name())
        .bind(to_json(&webhook.headers))
        .bind(i64::from(webhook.timeout_ms))
        .bind(to_json(&webhook.retry))
        .bind(i64::from(webhook.max_in_flight))
        .bind(webhook.rate_per_second.map(i64::from))
        .bind(i64::from(webhook.ordered))
        .bind(webhook.secret.as_str())
        .bind(previous.map(|(secret, _)| secret.as_str()))
        .bind(previous.map(|(_, until)| until.micros()))
        .bind(big(webhook.starts_after.get()))
        .bind(webhook.version)
        .bind(webhook.created_at.micros())
        .bind(webhook.updated_at.micros())
        .execute(on)
        .await
        .or_refused(|| "there is such a webhook already".to_owned(), "workspace")?;
    Ok(())
}

fn from_row(row: &AnyRow) -> Result<SealedWebhook, StoreError> {
    let previous = maybe_text(row, "previous_secret")?;
    let until = maybe_time(row, "previous_secret_until")?;
    Ok(SealedWebhook {
        id: parsed(row, "id")?,
        no: number(row, "no")?,
        tenant: parsed(row, "tenant")?,
        url: text(row, "url")?,
        events: json(row, "events")?,
        workspace: maybe_parsed(row, "workspace")?,
        description: text(row, "description")?,
        state: parsed(row, "state")?,
        headers: json(row, "headers")?,
        timeout_ms: number(row, "timeout_ms")?,
        retry: json(row, "retry")?,
        max_in_flight: number(row, "max_in_flight")?,
        rate_per_second: maybe_number(row, "rate_per_second")?,
        ordered: flag(row, "ordered")?,
        secret: text(row, "secret")?,
        previous_secret: previous.zip(until),
        version: number(row, "version")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        starts_after: Position::new(number(row, "starts_after")?),
    })
}
