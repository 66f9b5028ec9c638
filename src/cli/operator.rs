//! What operators' commands on the configured store share: the engine behind them, and how they show what they did.
//!
//! They read and change the control plane only, so that they work beside a running server as well as without one. A server
//! remembers keys for some seconds: changes take that long to arrive there.

use actors::{Engine, EngineError};
use anyhow::Context as _;
use domain::ids::TenantId;
use serde::Serialize;
use serde_json::Value;
use store::control::{AuditEntry, Tenant};

use super::{Failure, Global};
use crate::assemble::{self, ControlPlane, Given};

/// Who changed something, as the audit log names it.
const ACTOR: &str = "operator";
/// What was used, as the audit log names it.
const USER_AGENT: &str = concat!("trunkline-cli/", env!("CARGO_PKG_VERSION"));

/// Does `work` on the configured store.
pub(crate) fn with_control_plane(
    global: &Global,
    work: impl AsyncFnOnce(&ControlPlane) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let given = Given::new(global.load()?.settings);
    actix_rt::System::new().block_on(async {
        let control_plane = assemble::control_plane(&given).await;
        let control_plane = control_plane.map_err(Failure::assemble)?;
        let outcome = work(&control_plane).await;
        control_plane.engine.control().close().await;
        outcome
    })
}

/// The tenant with this slug or id.
pub(crate) async fn tenant(engine: &Engine, named: &str) -> Result<Tenant, Failure> {
    let found = match named.parse::<TenantId>() {
        Ok(id) => engine.control().tenant(id).await,
        Err(_a_slug) => engine.control().tenant_by_slug(named).await,
    };
    let found = found.context("look for the tenant")?;
    found.ok_or_else(|| Failure::Failed(anyhow::anyhow!("there is no tenant `{named}`")))
}

/// Notes in the tenant's audit log what was done.
pub(crate) async fn audit(
    engine: &Engine,
    tenant: TenantId,
    action: &str,
    (resource_type, resource_id): (&str, String),
    meta: Value,
) -> Result<(), Failure> {
    let entry = AuditEntry {
        tenant,
        at: engine.clock().now(),
        actor: ACTOR.to_owned(),
        action: action.to_owned(),
        resource_type: resource_type.to_owned(),
        resource_id,
        meta,
        ip: None,
        user_agent: Some(USER_AGENT.to_owned()),
    };
    let noted = engine.control().append_audit(&entry).await;
    noted.with_context(|| {
        format!("it is done, but could not be noted in the audit log: {action}")
    })?;
    Ok(())
}

/// What the engine says, as the command line says it: a wrong argument is wrong usage.
pub(crate) fn refused(error: EngineError) -> Failure {
    if matches!(error, EngineError::Invalid { .. }) {
        Failure::Usage(error.into())
    } else {
        Failure::Failed(error.into())
    }
}

/// Any value as a line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value).context("write JSON")? + "\n")
}

/// Rows under their headings, in columns.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings.map(str::to_owned)).chain(rows) {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<String>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let rows = [
            ["a".to_owned(), "long".to_owned()],
            ["längere".to_owned(), "b".to_owned()],
        ];
        assert_eq!(
            table(["ID", "N"], &rows),
            "ID       N\na        long\nlängere  b\n"
        );
    }
}
