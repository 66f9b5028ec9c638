//! What bringing a schema up to date came to. Changes no schema.

/// The number of the last migration before and after; 0 is none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Where the schema stood.
    pub from: i64,
    /// Where it stands.
    pub to: i64,
}
