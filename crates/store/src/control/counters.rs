//! Numbers that only ever grow, so that what was numbered and deleted never lends its number to something else.

use sqlx::AnyConnection;

use super::{
    columns::number,
    failure::{Failed, Outcome as _},
};

const BUMP: &str = "
    INSERT INTO counters (name, value)
    VALUES ($1, 1)
    ON CONFLICT (name) DO UPDATE
    SET    value = counters.value + 1
    RETURNING value";

/// Takes the next number of a counter: 1, 2, 3 …
///
/// Holds the counter's row until the transaction ends: whoever takes a number of the same counter waits, and then sees
/// what this transaction wrote. A transaction that rolls back gives its number back.
pub(super) async fn bump(on: &mut AnyConnection, name: &str) -> Result<i64, Failed> {
    let row = sqlx::query(BUMP)
        .bind(name)
        .fetch_one(on)
        .await
        .or_collide()?;
    Ok(number(&row, "value")?)
}
