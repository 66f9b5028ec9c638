//! How values stand in columns: everything is a text or a big integer (see `migrations/control`).
//!
//! Knows no table. What cannot be read back is [`StoreError::Corrupt`] and names its column, never its value, which may
//! be somebody's secret.

use std::str::FromStr;

use domain::time::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row as _, any::AnyRow};

use super::failure::Outcome as _;
use crate::StoreError;

/// A text.
pub(super) fn text(row: &AnyRow, column: &str) -> Result<String, StoreError> {
    row.try_get(column).or_fail()
}

/// A text or null.
pub(super) fn maybe_text(row: &AnyRow, column: &str) -> Result<Option<String>, StoreError> {
    row.try_get(column).or_fail()
}

/// A value that stands as the text that it shows.
pub(super) fn parsed<T: FromStr>(row: &AnyRow, column: &str) -> Result<T, StoreError> {
    let text: &str = row.try_get(column).or_fail()?;
    text.parse().map_err(|_unreadable| corrupt(column))
}

/// The same, or null.
pub(super) fn maybe_parsed<T: FromStr>(
    row: &AnyRow,
    column: &str,
) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.try_get(column).or_fail()?;
    text.map(str::parse)
        .transpose()
        .map_err(|_unreadable| corrupt(column))
}

/// A value that stands as JSON text.
pub(super) fn json<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T, StoreError> {
    let text: &str = row.try_get(column).or_fail()?;
    serde_json::from_str(text).map_err(|_unreadable| corrupt(column))
}

/// The same, or null.
pub(super) fn maybe_json<T: DeserializeOwned>(
    row: &AnyRow,
    column: &str,
) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.try_get(column).or_fail()?;
    text.map(serde_json::from_str)
        .transpose()
        .map_err(|_unreadable| corrupt(column))
}

/// A number that fits its type.
pub(super) fn number<T: TryFrom<i64>>(row: &AnyRow, column: &str) -> Result<T, StoreError> {
    let number: i64 = row.try_get(column).or_fail()?;
    T::try_from(number).map_err(|_out_of_range| corrupt(column))
}

/// The same, or null.
pub(super) fn maybe_number<T: TryFrom<i64>>(
    row: &AnyRow,
    column: &str,
) -> Result<Option<T>, StoreError> {
    let number: Option<i64> = row.try_get(column).or_fail()?;
    number
        .map(T::try_from)
        .transpose()
        .map_err(|_out_of_range| corrupt(column))
}

/// Yes or no.
pub(super) fn flag(row: &AnyRow, column: &str) -> Result<bool, StoreError> {
    number::<i64>(row, column).map(|number| number != 0)
}

/// A moment.
pub(super) fn time(row: &AnyRow, column: &str) -> Result<Timestamp, StoreError> {
    number(row, column).map(Timestamp::from_micros)
}

/// A moment or null.
pub(super) fn maybe_time(row: &AnyRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    let micros = maybe_number(row, column)?;
    Ok(micros.map(Timestamp::from_micros))
}

/// The JSON text of a value.
pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("lists and objects with text keys always have a JSON form")
}

/// The number of a count or a place. None comes near the bound.
pub(super) fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The text after which a list goes on; nothing comes before the empty one.
pub(super) fn after<T: ToString>(id: Option<T>) -> String {
    id.map_or_else(String::new, |id| id.to_string())
}

/// What to say of a column that cannot be read.
pub(super) fn corrupt(column: &str) -> StoreError {
    StoreError::Corrupt(format!("the column {column} of the control plane"))
}
