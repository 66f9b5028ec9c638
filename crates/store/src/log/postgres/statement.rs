//! The statements that write: one text for any number of rows, which come as one array a column.
//!
//! Each stands by itself in the slow way of a commit. In the fast way, many of them are one statement, behind a guard that lets
//! either all of them write or none. All of them write rows of tenants whose row in `tenants` is locked, so none ever waits for
//! another transaction.

mod devices;
mod shapes;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;

/// What a statement writes, in the order in which a commit writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Events,
    TreeNodes,
    Answers,
    Streams,
    Tenants,
    Forgotten,
    Attempts,
    Exceptions,
    Cleared,
    Webhooks,
    Consumers,
    Replays,
    DevicesForgotten,
    DeviceFences,
    Openings,
    Credentials,
    Outgoing,
    Sent,
    Settled,
    Messages,
}

/// What the statement of a kind is made of.
struct Shape {
    /// What its rows are called.
    rows: &'static str,
    /// Their columns and the types of these.
    columns: &'static [(&'static str, &'static str)],
    /// Statements that run before the last one, each with its name.
    before: &'static [(&'static str, &'static str)],
    last: &'static str,
    together: Together,
}

/// Whether a kind may be written by one statement together with others.
#[derive(Clone, Copy)]
enum Together {
    /// As it stands.
    AsItStands,
    /// With another last statement, because nobody has looked beforehand at what is there.
    With(&'static str),
    /// No: what it writes depends on the order of statements.
    Never,
}

/// The texts of statements that have been put together, by what is in them.
type Texts = Mutex<BTreeMap<(Guard, Vec<Kind>), Arc<str>>>;

/// What has to be as it is remembered before anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Guard {
    /// The tenants.
    Tenants,
    /// The tenants; and no session of a device has been replaced.
    Sessions,
}

/// Locks the tenants, always in the same order, and lets the rest write if all of them are where they are expected to be. What is
/// expected to be NULL is not compared.
///
/// A row that another transaction has just changed is looked at as that one left it. Nothing is written before the guard has
/// all its locks, because everything else asks what it says.
macro_rules! guard {
    ($also_of_a_tenant:literal, $also:literal) => {
        concat!(
            "WITH expected (id, no, head, dispatched, fence) AS (
                 SELECT *
                 FROM   unnest($1::UUID[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[])),
             held (fits) AS (
                 SELECT   t.id = e.id
                          AND (e.head IS NULL
                               OR t.head = e.head AND t.fence = e.fence
                                  AND t.dispatched IS NOT DISTINCT FROM e.dispatched)",
            $also_of_a_tenant,
            "
                 FROM     expected AS e
                 JOIN     tenants  AS t ON t.no = e.no
                 ORDER BY t.no
                 FOR UPDATE OF t),
             guard (fits) AS (
                 SELECT count(*) FILTER (WHERE fits) = cardinality($2::BIGINT[])",
            $also,
            "
                 FROM   held)"
        )
    };
}

const TENANTS_FIT: &str = guard!("", "");

/// Devices are read as they were when the statement began. Whoever replaces a session counts it in the tenant's row: if the one
/// that is locked counts as many as the one of the beginning, what was read is still so.
const SESSIONS_FIT: &str = guard!(
    "
                          AND t.openings = (SELECT s.openings FROM tenants AS s WHERE s.no = e.no)",
    "
                        AND NOT EXISTS (
                            SELECT 1
                            FROM   unnest($6::BIGINT[], $7::UUID[], $8::BIGINT[])
                                   AS s (tenant_no, device, fence)
                            JOIN   devices AS d ON d.tenant_no = s.tenant_no AND d.device = s.device
                            WHERE  d.fence > s.fence)"
);

impl Guard {
    fn sql(self) -> &'static str {
        match self {
            Guard::Tenants => TENANTS_FIT,
            Guard::Sessions => SESSIONS_FIT,
        }
    }

    /// How many parameters it takes before the columns of the kinds.
    fn parameters(self) -> usize {
        match self {
            Guard::Tenants => 5,
            Guard::Sessions => 8,
        }
    }
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Kind; 20] = [
        Kind::Events,
        Kind::TreeNodes,
        Kind::Answers,
        Kind::Streams,
        Kind::Tenants,
        Kind::Forgotten,
        Kind::Attempts,
        Kind::Exceptions,
        Kind::Cleared,
        Kind::Webhooks,
        Kind::Consumers,
        Kind::Replays,
        Kind::DevicesForgotten,
        Kind::DeviceFences,
        Kind::Openings,
        Kind::Credentials,
        Kind::Outgoing,
        Kind::Sent,
        Kind::Settled,
        Kind::Messages,
    ];

    /// The text of the kind's own statement.
    pub(super) fn sql(self) -> &'static str {
        static TEXTS: LazyLock<[String; Kind::ALL.len()]> = LazyLock::new(|| {
            Kind::ALL.map(|kind| {
                let shape = kind.shape();
                let mut sql = "WITH ".to_owned();
                shape.write_rows(&mut sql, 1, "");
                shape.write_before(&mut sql);
                sql + shape.last
            })
        });
        &TEXTS[self as usize]
    }

    /// Whether the kind may be written by one statement together with others.
    pub(super) fn may_stand_together(self) -> bool {
        !matches!(self.shape().together, Together::Never)
    }
}

/// The text of one statement that writes all these kinds, each no more than once, or says that it did not. Its parameters are
/// those of the guard (ids, numbers, heads, marks and fences of the tenants, then tenants, devices and fences of the sessions),
/// then the columns of each kind.
pub(super) fn together(guard: Guard, kinds: Vec<Kind>) -> Arc<str> {
    // A handful in practice: what is written at all goes by what the engine is used for.
    static TEXTS: LazyLock<Texts> = LazyLock::new(Texts::default);
    let mut texts = TEXTS.lock();
    let key = (guard, kinds);
    if let Some(text) = texts.get(&key) {
        return Arc::clone(text);
    }
    let mut sql = guard.sql().to_owned();
    let mut parameter = 1 + guard.parameters();
    for kind in &key.1 {
        let shape = kind.shape();
        sql.push_str(", ");
        shape.write_rows(&mut sql, parameter, " WHERE (SELECT fits FROM guard)");
        parameter += shape.columns.len();
        shape.write_before(&mut sql);
        let last = match shape.together {
            Together::With(last) => last,
            Together::AsItStands | Together::Never => shape.last,
        };
        write!(sql, ", {}_written AS ({last})", shape.rows).unwrap_or_default();
    }
    sql.push_str(" SELECT fits FROM guard");
    let text: Arc<str> = sql.into();
    texts.insert(key, Arc::clone(&text));
    text
}

impl Shape {
    /// Names the rows, whose columns are the parameters from a number on.
    fn write_rows(&self, sql: &mut String, first: usize, condition: &str) {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let arrays = (first..).zip(self.columns);
        let arrays: Vec<String> = arrays
            .map(|(number, (_, kind))| format!("${number}::{kind}[]"))
            .collect();
        write!(
            sql,
            "{} ({}) AS (SELECT * FROM unnest({}){condition})",
            self.rows,
            names.join(", "),
            arrays.join(", ")
        )
        // A string takes whatever is written to it.
        .unwrap_or_default();
    }

    fn write_before(&self, sql: &mut String) {
        for (name, text) in self.before {
            write!(sql, ", {name} AS ({text})").unwrap_or_default();
        }
    }
}
