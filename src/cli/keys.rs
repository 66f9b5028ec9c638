//! `trunkline keys`: makes, lists, rotates and revokes API keys in the configured store.

use std::time::Duration;

use actors::{
    Engine,
    engine::{KeyInput, MadeKey},
};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::{
    ids::{KeyId, WorkspaceId},
    key::KeyRecord,
    permission::Permissions,
    plan::Tier,
    time::Timestamp,
};
use ipnet::IpNet;
use serde::Serialize;
use serde_json::json;
use store::control::Tenant;

use super::{Failure, Global, operator, print};

/// Keys that are read in one step.
const PAGE: u32 = 500;

/// The arguments of `trunkline keys`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Whose keys, by slug or id.
    #[arg(long, global = true, default_value = "default")]
    tenant: String,
    /// Shows JSON: an object, or with `list` an array.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes a key, and shows it this once.
    Create(New),
    /// Lists keys; never their texts.
    List,
    /// Ends a key now.
    Revoke {
        /// Which one: key_….
        id: KeyId,
    },
    /// Makes a key with the same rights, and shows it this once; the old one ends after a while.
    Rotate {
        /// Which one: key_….
        id: KeyId,
        /// How long the old key stays usable.
        #[arg(long, default_value_t = 86_400, value_name = "SECONDS")]
        grace_seconds: u64,
    },
}

#[derive(Debug, Args)]
struct New {
    /// What people call it.
    #[arg(long, default_value = "made on the command line")]
    name: String,
    /// Confines it to this workspace, by slug or id.
    #[arg(long)]
    workspace: Option<String>,
    /// What it may do, separated by commas: *, areas such as events:*, or permissions such as events:read.
    #[arg(long, default_value = "*")]
    permissions: String,
    /// Requests a minute: STANDARD (100), ELEVATED (500), PREMIUM (2000), CUSTOM:<number> or NONE.
    #[arg(long, default_value = "NONE")]
    tier: Tier,
    /// Networks from which it may be used, separated by commas; all if none is named.
    #[arg(long, value_delimiter = ',', value_name = "CIDR")]
    ip_allow: Vec<IpNet>,
    /// When it ends by itself, such as 2030-01-31T00:00:00Z.
    #[arg(long, value_parser = Timestamp::parse, value_name = "TIME")]
    expires_at: Option<Timestamp>,
}

/// A key as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    id: KeyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    tenant: &'a str,
    name: &'a str,
    workspace: Option<WorkspaceId>,
    prefix: &'a str,
    permissions: &'a Permissions,
    tier: Tier,
    ip_allow: &'a [IpNet],
    state: &'static str,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    grace_until: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

/// Does it.
pub(crate) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        action,
        tenant,
        json,
    } = arguments;
    operator::with_control_plane(global, async |on| {
        let engine = &on.engine;
        let tenant = operator::tenant(engine, &tenant).await?;
        match action {
            Action::Create(new) => {
                create(engine, &tenant, new, json).await?;
                // Whoever missed the first key has one now.
                let noted = on.folder.note_key_shown();
                Ok(noted.context("note that a key was shown")?)
            }
            Action::List => list(engine, &tenant, json).await,
            Action::Revoke { id } => revoke(engine, &tenant, id, json).await,
            Action::Rotate { id, grace_seconds } => {
                rotate(
                    engine,
                    &tenant,
                    id,
                    Duration::from_secs(grace_seconds),
                    json,
                )
                .await
            }
        }
    })
}

async fn create(engine: &Engine, tenant: &Tenant, new: New, json: bool) -> Result<(), Failure> {
    let workspace = match &new.workspace {
        None => None,
        Some(named) => Some(workspace(engine, tenant, named).await?),
    };
    let permissions = Permissions::parse_each(new.permissions.split(',').map(str::trim));
    let input = KeyInput {
        name: new.name,
        workspace,
        permissions: permissions.map_err(|error| Failure::Usage(error.into()))?,
        tier: new.tier,
        ip_allow: new.ip_allow,
        expires_at: new.expires_at,
    };
    let made = engine
        .create_key(tenant, input)
        .await
        .map_err(operator::refused)?;
    show_made(engine, tenant, &made, json)?;
    let meta = json!({ "name": made.record.name, "permissions": made.record.permissions });
    let resource = ("key", made.record.id.to_string());
    operator::audit(engine, tenant.id, "key.created", resource, meta).await
}

async fn list(engine: &Engine, tenant: &Tenant, json: bool) -> Result<(), Failure> {
    let mut keys: Vec<KeyRecord> = Vec::new();
    loop {
        let after = keys.last().map(|key| key.id);
        let page = engine
            .keys(tenant.id, None, after, PAGE)
            .await
            .map_err(operator::refused)?;
        if page.is_empty() {
            break;
        }
        keys.extend(page);
    }
    let now = engine.clock().now();
    if json {
        let shown: Vec<Shown<'_>> = keys.iter().map(|key| shown(key, tenant, now)).collect();
        return print(&operator::json_line(&shown)?);
    }
    let row = |key: &KeyRecord| {
        let used = key
            .last_used_at
            .map_or_else(|| "never".to_owned(), |at| at.to_string());
        [
            key.id.to_string(),
            format!("{}…", key.prefix),
            state(key, now).to_owned(),
            used,
            key.name.clone(),
        ]
    };
    let rows: Vec<[String; 5]> = keys.iter().map(row).collect();
    print(&operator::table(
        ["ID", "BEGINS WITH", "STATE", "LAST USED", "NAME"],
        &rows,
    ))
}

async fn revoke(engine: &Engine, tenant: &Tenant, id: KeyId, json: bool) -> Result<(), Failure> {
    let key = engine
        .key(tenant.id, None, id)
        .await
        .map_err(operator::refused)?;
    engine
        .revoke_key(tenant.id, id, None)
        .await
        .map_err(operator::refused)?;
    if json {
        print(&operator::json_line(
            &json!({ "id": id, "state": "revoked" }),
        )?)?;
    } else {
        print(&format!(
            "{id} is revoked. A running server may take it for some seconds more.\n"
        ))?;
    }
    let meta = json!({ "name": key.name });
    operator::audit(
        engine,
        tenant.id,
        "key.revoked",
        ("key", id.to_string()),
        meta,
    )
    .await
}

async fn rotate(
    engine: &Engine,
    tenant: &Tenant,
    id: KeyId,
    grace: Duration,
    json: bool,
) -> Result<(), Failure> {
    let old = engine
        .key(tenant.id, None, id)
        .await
        .map_err(operator::refused)?;
    let made = engine
        .rotate_key(tenant, &old, grace)
        .await
        .map_err(operator::refused)?;
    show_made(engine, tenant, &made, json)?;
    let meta = json!({ "replaced_by": made.record.id, "grace_seconds": grace.as_secs() });
    operator::audit(
        engine,
        tenant.id,
        "key.rotated",
        ("key", id.to_string()),
        meta,
    )
    .await
}

async fn workspace(engine: &Engine, tenant: &Tenant, named: &str) -> Result<WorkspaceId, Failure> {
    let found = match named.parse::<WorkspaceId>() {
        Ok(id) => engine.workspace(tenant.id, id).await,
        Err(_a_slug) => engine.workspace_by_slug(tenant.id, named).await,
    };
    let found = found.with_context(|| format!("look for the workspace `{named}`"))?;
    Ok(found.id)
}

fn show_made(engine: &Engine, tenant: &Tenant, made: &MadeKey, json: bool) -> Result<(), Failure> {
    if json {
        let mut shown = shown(&made.record, tenant, engine.clock().now());
        shown.key = Some(made.secret.reveal());
        return print(&operator::json_line(&shown)?);
    }
    let id = made.record.id;
    print(&format!(
        "{id} is made. It is shown this once:\n\n    {}\n",
        made.secret.reveal()
    ))
}

fn shown<'a>(key: &'a KeyRecord, tenant: &'a Tenant, now: Timestamp) -> Shown<'a> {
    Shown {
        id: key.id,
        key: None,
        tenant: &tenant.slug,
        name: &key.name,
        workspace: key.workspace,
        prefix: &key.prefix,
        permissions: &key.permissions,
        tier: key.tier,
        ip_allow: &key.ip_allow,
        state: state(key, now),
        created_at: key.created_at,
        expires_at: key.expires_at,
        revoked_at: key.revoked_at,
        grace_until: key.grace_until,
        last_used_at: key.last_used_at,
    }
}

/// How a key stands. One that was rotated is `active` until its grace is over.
fn state(key: &KeyRecord, now: Timestamp) -> &'static str {
    let is_past = |moment: Option<Timestamp>| moment.is_some_and(|moment| now >= moment);
    if is_past(key.revoked_at) || is_past(key.grace_until) {
        "revoked"
    } else if is_past(key.expires_at) {
        "expired"
    } else {
        "active"
    }
}
