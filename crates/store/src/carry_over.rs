//! Carries an embedded installation over to a `PostgreSQL` server, and proves that nothing was lost or changed on the way.
//!
//! Order decides what a crash leaves behind: logs first, tenant by tenant, each checked by its chains; the control plane last,
//! in one transaction with the note that all is done. Until then no server finds a tenant there, and the same command goes on
//! after the last event that arrived. Changes nothing at the source. Knows no configuration, and not who may serve from where.

mod beginning;
mod chains;
mod control;
mod error;
mod events;
mod region;
mod source;
mod tables;
mod target;
#[cfg(test)]
mod tests;

use std::path::Path;

use domain::{ids::TenantId, region::Region, seal::MasterKey, time::Timestamp};

pub use self::{
    chains::{Break, Broken},
    error::{CarryOverError, Side},
};
use self::{
    source::Source,
    target::{Admission, Target},
};
use crate::PostgresOptions;

/// What is carried over, and where to.
pub struct CarryOver<'a> {
    /// The data folder. The caller keeps servers out of it.
    pub folder: &'a Path,
    /// The file of the control plane in it.
    pub control: &'a Path,
    /// The server.
    pub target: &'a PostgresOptions,
    /// What the tenants' keys are wrapped with; it stays the same.
    pub master_key: &'a MasterKey,
    /// Is told how far it is.
    pub watch: &'a (dyn Fn(Progress) + Sync),
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many steps there will be: each event is written and read back.
    Expected(u64),
    /// A tenant's log is begun.
    Tenant(Region, TenantId),
    /// So many more steps are done.
    Done(u64),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is there.
    Carried(Carried),
    /// It was carried over before; nothing was done.
    AlreadyDone {
        /// When that was, by the server's clock.
        at: Timestamp,
    },
}

/// What there is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Tenants of the control plane.
    pub tenants: u64,
    /// All rows of the control plane.
    pub control_rows: u64,
    /// Each region's log.
    pub regions: Vec<CarriedRegion>,
}

/// What one region's log holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedRegion {
    /// Which one.
    pub region: Region,
    /// Tenants that ever wrote there.
    pub tenants: u64,
    /// Their events.
    pub events: u64,
    /// Chains that were computed anew from what the server returns.
    pub workspaces: u64,
    /// Rows of deliveries, consumers, replays and idempotent answers.
    pub rows: u64,
}

impl CarryOver<'_> {
    /// Carries everything over, or goes on where an earlier run ended.
    pub async fn run(&self) -> Result<Outcome, CarryOverError> {
        let mut source = Source::open(self.folder, self.control).await?;
        source.check_keys(self.master_key)?;
        let mut target = Target::connect(self.target).await?;
        match target.admit(&source).await? {
            Admission::Done { at } => return Ok(Outcome::AlreadyDone { at }),
            Admission::Open => {}
        }
        target.begin(self.target, &source).await?;
        (self.watch)(Progress::Expected(2 * source.events()));
        let mut carried = Carried {
            tenants: source.tenants.len() as u64,
            ..Carried::default()
        };
        for log in &mut source.logs {
            let done = region::carry(self, log, &mut target).await?;
            carried.regions.push(done);
        }
        carried.control_rows = control::carry(&mut source, &mut target).await?;
        Ok(Outcome::Carried(carried))
    }
}
