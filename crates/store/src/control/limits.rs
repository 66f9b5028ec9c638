//! Whether a tenant may have one more of something.
//!
//! Counts and compares. That nobody else adds one in between is the caller's to ensure, and how many there may be is the
//! plan's to say.

use domain::ids::TenantId;
use sqlx::AnyConnection;

use super::{columns::number, failure::Outcome as _};
use crate::StoreError;

/// [`StoreError::LimitReached`] if the tenant has `max` of `what` already. `count` is what counts those of the tenant `$1`,
/// as `counted`.
pub(super) async fn refuse_beyond(
    on: &mut AnyConnection,
    count: &'static str,
    tenant: TenantId,
    (what, max): (&'static str, u32),
) -> Result<(), StoreError> {
    let row = sqlx::query(count)
        .bind(tenant.to_string())
        .fetch_one(on)
        .await
        .or_fail()?;
    let counted: i64 = number(&row, "counted")?;
    if counted < i64::from(max) {
        Ok(())
    } else {
        Err(StoreError::LimitReached { what, max })
    }
}
