//! Copies rows as they are, table by table, a bounded number at a time. Knows no meaning of any of them.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, sqlite::SqliteRow};
use tokio_postgres::{Transaction, types::ToSql};
use uuid::Uuid;

use super::CarryOverError;

/// Rows that are sent at once, and about how many bytes of them.
const ROWS_MAX: usize = 1_000;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// A table that both ends have.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Those that both ends have alike; a tenant's number is none of them.
    pub(super) columns: &'static [(&'static str, Kind)],
    /// Which rows of the source are a tenant's: `?1` is its number there. Empty for all rows.
    pub(super) of_tenant: &'static str,
}

/// How a column stands at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number of any size.
    Number,
    /// A number at the source, a truth value at the target.
    Flag,
    /// A text.
    Text,
    /// A text at the source, bytes at the target.
    TextAsBytes,
    /// Bytes.
    Bytes,
    /// 16 bytes at the source, a UUID at the target.
    Id,
}

/// A tenant's numbers at both ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) source: i64,
    pub(super) target: i64,
}

/// The values of one column.
enum Values {
    Numbers(Vec<Option<i64>>),
    Flags(Vec<Option<bool>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Ids(Vec<Option<Uuid>>),
}

/// Rows on their way.
struct Rows {
    values: Vec<Values>,
    count: usize,
    bytes: usize,
}

impl Table {
    /// Copies all rows, or those of one tenant, into a table without such rows, and answers how many there were.
    pub(super) async fn copy(
        &self,
        schema: &str,
        tenant: Option<Numbers>,
        from: &mut SqliteConnection,
        to: &Transaction<'_>,
    ) -> Result<i64, CarryOverError> {
        let failed = || CarryOverError::source(format!("reading {}", self.name));
        let select = sqlx::query(AssertSqlSafe(self.select()));
        let select = match tenant {
            Some(numbers) => select.bind(numbers.source),
            None => select,
        };
        let mut found = select.fetch(from);
        let insert = self.insert(schema, tenant.is_some());
        let mut rows = Rows::new(self.columns);
        let mut copied = 0;
        while let Some(row) = found.try_next().await.map_err(failed())? {
            rows.push(&row, self.columns).map_err(failed())?;
            copied += 1;
            if rows.count >= ROWS_MAX || rows.bytes >= BYTES_MAX {
                self.send(&insert, tenant, &rows, to).await?;
                rows = Rows::new(self.columns);
            }
        }
        if rows.count > 0 {
            self.send(&insert, tenant, &rows, to).await?;
        }
        Ok(copied)
    }

    /// Deletes a tenant's rows at the target.
    pub(super) async fn clear(
        &self,
        schema: &str,
        tenant_no: i64,
        to: &Transaction<'_>,
    ) -> Result<(), CarryOverError> {
        let delete = format!("DELETE FROM {schema}.{} WHERE tenant_no = $1", self.name);
        to.execute(&delete, &[&tenant_no])
            .await
            .map_err(CarryOverError::target(format!("clearing {}", self.name)))?;
        Ok(())
    }

    async fn send(
        &self,
        insert: &str,
        tenant: Option<Numbers>,
        rows: &Rows,
        to: &Transaction<'_>,
    ) -> Result<(), CarryOverError> {
        let number = tenant.map(|numbers| numbers.target);
        let mut values: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(rows.values.len() + 1);
        if let Some(number) = &number {
            values.push(number);
        }
        values.extend(rows.values.iter().map(Values::parameter));
        to.execute(insert, &values)
            .await
            .map_err(CarryOverError::target(format!("writing {}", self.name)))?;
        Ok(())
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    fn select(&self) -> String {
        let (names, table) = (self.names(), self.name);
        if self.of_tenant.is_empty() {
            format!("SELECT {names} FROM {table}")
        } else {
            format!("SELECT {names} FROM {table} WHERE {}", self.of_tenant)
        }
    }

    fn insert(&self, schema: &str, has_tenant: bool) -> String {
        let (column, value, first) = if has_tenant {
            ("tenant_no, ", "$1::BIGINT, ", 2)
        } else {
            ("", "", 1)
        };
        let arrays: Vec<String> = (first..)
            .zip(self.columns)
            .map(|(number, (_, kind))| format!("${number}::{}", kind.array()))
            .collect();
        format!(
            "INSERT INTO {schema}.{} ({column}{})
             SELECT {value}u.* FROM unnest({}) AS u",
            self.name,
            self.names(),
            arrays.join(", ")
        )
    }
}

impl Kind {
    /// The type of the array in which its values travel. Numbers fit the column's own type when they are assigned.
    fn array(self) -> &'static str {
        match self {
            Kind::Number => "BIGINT[]",
            Kind::Flag => "BOOLEAN[]",
            Kind::Text => "TEXT[]",
            Kind::TextAsBytes | Kind::Bytes => "BYTEA[]",
            Kind::Id => "UUID[]",
        }
    }

    fn values(self) -> Values {
        match self {
            Kind::Number => Values::Numbers(Vec::new()),
            Kind::Flag => Values::Flags(Vec::new()),
            Kind::Text => Values::Texts(Vec::new()),
            Kind::TextAsBytes | Kind::Bytes => Values::Bytes(Vec::new()),
            Kind::Id => Values::Ids(Vec::new()),
        }
    }
}

impl Values {
    fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Values::Numbers(values) => values,
            Values::Flags(values) => values,
            Values::Texts(values) => values,
            Values::Bytes(values) => values,
            Values::Ids(values) => values,
        }
    }

    /// Takes a row's value, and answers about how many bytes it has.
    fn push(&mut self, row: &SqliteRow, column: usize, kind: Kind) -> Result<usize, sqlx::Error> {
        let length = match self {
            Values::Numbers(values) => {
                values.push(row.try_get(column)?);
                None
            }
            Values::Flags(values) => {
                let number: Option<i64> = row.try_get(column)?;
                values.push(number.map(|number| number != 0));
                None
            }
            Values::Texts(values) => {
                let text: Option<String> = row.try_get(column)?;
                let length = text.as_ref().map(String::len);
                values.push(text);
                length
            }
            Values::Bytes(values) => {
                let bytes = match kind {
                    Kind::TextAsBytes => {
                        let text: Option<String> = row.try_get(column)?;
                        text.map(String::into_bytes)
                    }
                    Kind::Number | Kind::Flag | Kind::Text | Kind::Bytes | Kind::Id => {
                        row.try_get(column)?
                    }
                };
                let length = bytes.as_ref().map(Vec::len);
                values.push(bytes);
                length
            }
            Values::Ids(values) => {
                let bytes: Option<&[u8]> = row.try_get(column)?;
                let id = bytes.map(Uuid::from_slice).transpose();
                values.push(id.map_err(|error| sqlx::Error::Decode(error.into()))?);
                None
            }
        };
        Ok(size_of::<i64>() + length.unwrap_or(0))
    }
}

impl Rows {
    fn new(columns: &[(&str, Kind)]) -> Rows {
        Rows {
            values: columns.iter().map(|(_, kind)| kind.values()).collect(),
            count: 0,
            bytes: 0,
        }
    }

    fn push(&mut self, row: &SqliteRow, columns: &[(&str, Kind)]) -> Result<(), sqlx::Error> {
        for (column, (values, (_, kind))) in self.values.iter_mut().zip(columns).enumerate() {
            self.bytes += values.push(row, column, *kind)?;
        }
        self.count += 1;
        Ok(())
    }
}
