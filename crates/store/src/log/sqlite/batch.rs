//! The rows of one transaction, gathered by kind and cut into statements.

use sqlx::{Arguments as _, SqlStr, sqlite::SqliteArguments};

use super::statement::{Edges, Kind, Texts};

/// The rows that one transaction writes, by kind.
#[derive(Default)]
pub(super) struct Batch {
    kinds: [Vec<Step>; Kind::ALL.len()],
}

/// One statement with its parameters.
pub(super) struct Step {
    kind: Kind,
    rows: usize,
    row: Row,
}

impl Batch {
    /// Begins a row of this kind: add its columns in the order of the statement.
    pub(super) fn row(&mut self, kind: Kind) -> &mut Row {
        let rows_max = kind.rows_max();
        let steps = &mut self.kinds[kind as usize];
        if steps.last().is_none_or(|step| step.rows == rows_max) {
            steps.push(Step {
                kind,
                rows: 0,
                row: Row::default(),
            });
        }
        let step = steps.last_mut().expect("one was pushed if there was none");
        step.rows += 1;
        &mut step.row
    }

    /// The statements, in the order in which they are to run.
    pub(super) fn into_steps(self) -> Vec<Step> {
        self.kinds.into_iter().flatten().collect()
    }
}

impl Step {
    /// The text and the parameters.
    pub(super) fn into_query(self, texts: &mut Texts, edges: Edges) -> (SqlStr, SqliteArguments) {
        (texts.get(self.kind, self.rows, edges), self.row.0)
    }
}

/// The parameters of one statement.
#[derive(Default)]
pub(super) struct Row(SqliteArguments);

impl Row {
    fn add<'t, T>(&mut self, value: T) -> &mut Row
    where
        T: sqlx::Encode<'t, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.0
            .add(value)
            .expect("numbers, texts and bytes always have an encoding");
        self
    }

    /// Adds a number.
    pub(super) fn int(&mut self, number: i64) -> &mut Row {
        self.add(number)
    }

    /// Adds a count, a position or the like; none of them ever needs the 64th bit.
    pub(super) fn count(&mut self, number: u64) -> &mut Row {
        self.add(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// Adds a number or NULL.
    pub(super) fn maybe_int(&mut self, number: Option<i64>) -> &mut Row {
        self.add(number)
    }

    /// Adds a text.
    pub(super) fn text(&mut self, text: &str) -> &mut Row {
        self.add(text)
    }

    /// Adds a text or NULL.
    pub(super) fn maybe_text(&mut self, text: Option<&str>) -> &mut Row {
        self.add(text)
    }

    /// Adds bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Row {
        self.add(bytes)
    }

    /// Adds bytes without copying them.
    pub(super) fn owned_bytes(&mut self, bytes: Vec<u8>) -> &mut Row {
        self.add(bytes)
    }

    /// Adds bytes or NULL.
    pub(super) fn maybe_bytes(&mut self, bytes: Option<&[u8]>) -> &mut Row {
        self.add(bytes)
    }
}
