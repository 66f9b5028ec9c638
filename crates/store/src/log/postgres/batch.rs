//! The rows of one transaction, gathered by kind and column.

use std::borrow::Cow;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::statement::Kind;

/// Rows and bytes after which a kind's rows go on in a further statement; the protocol ends at 1 GiB.
const ROWS_MAX: usize = 2_048;
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// The rows that one transaction writes.
#[derive(Default)]
pub(super) struct Batch<'a> {
    steps: Vec<Vec<Step<'a>>>,
}

/// One statement with its rows.
pub(super) struct Step<'a> {
    kind: Kind,
    rows: usize,
    bytes: usize,
    columns: Vec<Column<'a>>,
}

/// One column of all rows.
#[derive(Debug)]
enum Column<'a> {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Cow<'a, str>>),
    Bytes(Vec<Option<Cow<'a, [u8]>>>),
    Uuids(Vec<Option<Uuid>>),
}

/// One row: add its columns in the order of the statement.
pub(super) struct Row<'s, 'a> {
    step: &'s mut Step<'a>,
    column: usize,
}

impl<'a> Batch<'a> {
    /// Begins a row of this kind.
    pub(super) fn row(&mut self, kind: Kind) -> Row<'_, 'a> {
        if self.steps.is_empty() {
            self.steps.resize_with(Kind::ALL.len(), Vec::new);
        }
        let steps = &mut self.steps[kind as usize];
        let is_full = |step: &Step<'_>| step.rows >= ROWS_MAX || step.bytes >= BYTES_MAX;
        if steps.last().is_none_or(is_full) {
            steps.push(Step {
                kind,
                rows: 0,
                bytes: 0,
                columns: Vec::new(),
            });
        }
        let step = steps.last_mut().expect("one was pushed if there was none");
        step.rows += 1;
        Row { step, column: 0 }
    }

    /// The statements, in the order in which they are to run.
    pub(super) fn steps(&self) -> impl Iterator<Item = &Step<'a>> {
        self.steps.iter().flatten()
    }

    /// The kinds that there are, if one statement can write all of them.
    pub(super) fn together(&self) -> Option<Vec<Kind>> {
        let mut kinds = Vec::new();
        for step in self.steps() {
            if kinds.last() == Some(&step.kind) || !step.kind.may_stand_together() {
                return None;
            }
            kinds.push(step.kind);
        }
        (!kinds.is_empty()).then_some(kinds)
    }
}

impl Step<'_> {
    /// The statement's text.
    pub(super) fn sql(&self) -> &'static str {
        self.kind.sql()
    }

    /// The statement's parameters.
    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        let columns = self.columns.iter();
        columns
            .map(|column| -> &(dyn ToSql + Sync) { column })
            .collect()
    }
}

/// Makes a method that adds a value to the column whose turn it is.
macro_rules! add {
    ($row:ident, $variant:ident, $value:expr) => {{
        let at = $row.column;
        $row.column += 1;
        if $row.step.columns.len() == at {
            $row.step.columns.push(Column::$variant(Vec::new()));
        }
        match &mut $row.step.columns[at] {
            Column::$variant(values) => values.push($value),
            other => unreachable!("a column has one type, but here is {other:?}"),
        }
        $row
    }};
}

impl<'a> Row<'_, 'a> {
    /// Adds a number.
    pub(super) fn int(self, number: i64) -> Self {
        self.maybe_int(Some(number))
    }

    /// Adds a count, a position or the like; none of them ever needs the 64th bit.
    pub(super) fn count(self, number: u64) -> Self {
        self.int(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// Adds a number or NULL.
    pub(super) fn maybe_int(mut self, number: Option<i64>) -> Self {
        add!(self, Ints, number)
    }

    /// Adds a text without zero characters.
    pub(super) fn text(mut self, text: impl Into<Cow<'a, str>>) -> Self {
        let text = text.into();
        self.step.bytes += text.len();
        add!(self, Texts, text)
    }

    /// Adds bytes.
    pub(super) fn bytes(self, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        self.maybe_bytes(Some(bytes.into()))
    }

    /// Adds bytes or NULL.
    pub(super) fn maybe_bytes(mut self, bytes: Option<Cow<'a, [u8]>>) -> Self {
        self.step.bytes += bytes.as_ref().map_or(0, |bytes| bytes.len());
        add!(self, Bytes, bytes)
    }

    /// Adds the bytes of a text or NULL.
    pub(super) fn maybe_text(self, text: Option<&'a str>) -> Self {
        self.maybe_bytes(text.map(|text| text.as_bytes().into()))
    }

    /// Adds an id.
    pub(super) fn uuid(self, id: Uuid) -> Self {
        self.maybe_uuid(Some(id))
    }

    /// Adds an id or NULL.
    pub(super) fn maybe_uuid(mut self, id: Option<Uuid>) -> Self {
        add!(self, Uuids, id)
    }
}

type Failure = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Column<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Column::Ints(values) => sparse(values).to_sql(kind, out),
            Column::Texts(values) => values.to_sql(kind, out),
            Column::Bytes(values) => sparse(values).to_sql(kind, out),
            Column::Uuids(values) => sparse(values).to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [
            Type::INT8_ARRAY,
            Type::TEXT_ARRAY,
            Type::BYTEA_ARRAY,
            Type::UUID_ARRAY,
        ]
        .contains(kind)
    }

    to_sql_checked!();
}

/// The values of a column, or none at all if they are all NULL: `unnest` fills up what is shorter than its neighbours.
fn sparse<T>(values: &[Option<T>]) -> &[Option<T>] {
    if values.iter().any(Option::is_some) {
        values
    } else {
        &[]
    }
}
