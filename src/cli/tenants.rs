//! `trunkline tenants`: makes, lists and changes tenants in the configured store.

use actors::{
    Engine,
    engine::{MadeTenant, TenantInput},
};
use clap::{Args, Subcommand};
use domain::{ids::TenantId, key::ApiKey, plan::PlanName, region::Region, time::Timestamp};
use serde::Serialize;
use serde_json::json;
use store::control::{Tenant, TenantChange};

use super::{Failure, Global, operator, print};

/// Tenants that are read in one step.
const PAGE: u32 = 500;

/// The arguments of `trunkline tenants`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Shows JSON: an object, or with `list` an array.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes a tenant with a workspace `default`, and shows its key this once.
    Create {
        /// Names it in keys, for ever: a-z, 0-9 and -.
        #[arg(value_parser = slug)]
        slug: String,
        /// What people call it; without it the slug.
        #[arg(long)]
        name: Option<String>,
        /// What it may use: free, starter, growth, scale or enterprise.
        #[arg(long, default_value = "free")]
        plan: PlanName,
        /// Where its log lives, for ever: AU, US, EU or APAC; without it regions.default.
        #[arg(long)]
        region: Option<Region>,
    },
    /// Lists tenants.
    List,
    /// Changes a tenant. A running server notices a new plan's event limit when the tenant was idle for a while.
    Update {
        /// Which one, by slug or id.
        tenant: String,
        #[command(flatten)]
        change: Change,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// What people call it.
    #[arg(long)]
    name: Option<String>,
    /// What it may use.
    #[arg(long)]
    plan: Option<PlanName>,
    /// Whether all its keys are refused.
    #[arg(long, value_name = "BOOL")]
    suspended: Option<bool>,
}

/// A tenant as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    id: TenantId,
    slug: &'a str,
    name: &'a str,
    plan: &'static str,
    region: &'static str,
    suspended: bool,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

/// Does it.
pub(crate) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { action, json } = arguments;
    let default_region = global.load()?.settings.regions.default;
    operator::with_control_plane(global, async |on| match action {
        Action::Create {
            slug,
            name,
            plan,
            region,
        } => {
            let name = name.unwrap_or_else(|| slug.clone());
            let region = region.unwrap_or(default_region);
            create(
                &on.engine,
                TenantInput {
                    name,
                    slug,
                    plan,
                    region,
                },
                json,
            )
            .await
        }
        Action::List => list(&on.engine, json).await,
        Action::Update { tenant, change } => update(&on.engine, &tenant, change, json).await,
    })
}

async fn create(engine: &Engine, input: TenantInput, json: bool) -> Result<(), Failure> {
    let MadeTenant { tenant, key, .. } = engine
        .create_tenant(input)
        .await
        .map_err(operator::refused)?;
    let text = key.secret.reveal();
    if json {
        let mut shown = shown(&tenant);
        shown.key = Some(text);
        print(&operator::json_line(&shown)?)?;
    } else {
        let Tenant {
            id,
            slug,
            plan,
            region,
            ..
        } = &tenant;
        let made = format!("The tenant `{slug}` ({id}, plan {plan}, region {region}) is made.");
        print(&format!(
            "{made} Its key is shown this once:\n\n    {text}\n"
        ))?;
    }
    let meta = json!({ "slug": tenant.slug, "plan": tenant.plan.name() });
    let resource = ("tenant", tenant.id.to_string());
    operator::audit(engine, tenant.id, "tenant.created", resource, meta).await
}

async fn list(engine: &Engine, json: bool) -> Result<(), Failure> {
    let mut tenants: Vec<Tenant> = Vec::new();
    loop {
        let after = tenants.last().map(|tenant| tenant.id);
        let page = engine
            .tenants(after, PAGE)
            .await
            .map_err(operator::refused)?;
        if page.is_empty() {
            break;
        }
        tenants.extend(page);
    }
    if json {
        let shown: Vec<Shown<'_>> = tenants.iter().map(shown).collect();
        return print(&operator::json_line(&shown)?);
    }
    let row = |tenant: &Tenant| {
        let state = if tenant.suspended {
            "suspended"
        } else {
            "active"
        };
        [
            tenant.id.to_string(),
            tenant.slug.clone(),
            tenant.plan.to_string(),
            tenant.region.to_string(),
            state.to_owned(),
            tenant.name.clone(),
        ]
    };
    let rows: Vec<[String; 6]> = tenants.iter().map(row).collect();
    print(&operator::table(
        ["ID", "SLUG", "PLAN", "REGION", "STATE", "NAME"],
        &rows,
    ))
}

async fn update(engine: &Engine, named: &str, change: Change, json: bool) -> Result<(), Failure> {
    let tenant = operator::tenant(engine, named).await?;
    let Change {
        name,
        plan,
        suspended,
    } = change;
    let meta = json!({ "name": name, "plan": plan.map(PlanName::name), "suspended": suspended });
    let change = TenantChange {
        name,
        plan,
        suspended,
    };
    let changed = engine
        .update_tenant(tenant.id, change, None)
        .await
        .map_err(operator::refused)?;
    if json {
        print(&operator::json_line(&shown(&changed))?)?;
    } else {
        let Tenant {
            slug, name, plan, ..
        } = &changed;
        let state = if changed.suspended {
            "suspended"
        } else {
            "active"
        };
        print(&format!(
            "The tenant `{slug}` is called {name}, has the plan {plan}, and is {state}.\n"
        ))?;
    }
    let resource = ("tenant", tenant.id.to_string());
    operator::audit(engine, tenant.id, "tenant.updated", resource, meta).await
}

fn shown(tenant: &Tenant) -> Shown<'_> {
    Shown {
        id: tenant.id,
        slug: &tenant.slug,
        name: &tenant.name,
        plan: tenant.plan.name(),
        region: tenant.region.name(),
        suspended: tenant.suspended,
        created_at: tenant.created_at,
        key: None,
    }
}

/// A slug is what fits into a key.
fn slug(text: &str) -> Result<String, String> {
    if ApiKey::make(text, &[0; 32]).is_ok() && !text.starts_with('-') {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 40 of a-z, 0-9 and -, with a letter or digit first".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_what_fits_into_a_key() {
        assert!(slug("my-tenant-2").is_ok());
        for bad in ["", "My", "a_b", "-a", &"a".repeat(41)] {
            assert!(slug(bad).is_err(), "{bad}");
        }
    }
}
