//! The truth: what is stored, and on which terms.
//!
//! The only crate that knows SQL. Every query takes a `TenantId` that it cannot be called without, except those of the
//! operator and of the engine's own start-up, which say so in their names.

pub mod carry_over;
pub mod checkpoints;
pub mod control;
pub mod error;
pub mod log;
pub mod migrated;
pub mod postgres;

pub use error::StoreError;
pub use migrated::Migrated;
pub use postgres::PostgresOptions;
