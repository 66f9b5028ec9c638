//! What every database must do as the control plane: cases that know nothing of the database below them.
//!
//! A case gets a place where an empty control plane can be opened, and opened again. A new database is put under all of
//! them by one more `on_database!` with a function that makes such a place.

mod audit;
mod keys;
mod reservations;
mod tenants;
mod webhooks;
mod workspaces;

mod sqlite;

use std::sync::atomic::{AtomicU64, Ordering};

use domain::{
    ids::{KeyId, TenantId, WorkspaceId},
    key::{KeyHash, KeyRecord},
    permission::Permissions,
    plan::{PlanName, Tier},
    region::Region,
    time::Timestamp,
};
use uuid::Uuid;

use super::{Control, NewTenant, NewWorkspace, Tenant};

/// Makes a test of every case for one database.
macro_rules! on_database {
    ($place:path: $($group:ident { $($case:ident),+ $(,)? })+) => {
        $(mod $group {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let place = $place();
                super::super::$group::$case(&place).await;
            })+
        })+
    };
}
use on_database;

/// Where a control plane lies.
struct Place {
    url: String,
    /// Removed with the place.
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    async fn open(&self) -> Control {
        Control::open(&self.url).await.expect("opens")
    }
}

/// A control plane with one tenant and its default workspace.
struct Home {
    control: Control,
    tenant: TenantId,
    workspace: WorkspaceId,
}

impl Home {
    async fn new(place: &Place) -> Home {
        Home::in_control(place.open().await, "acme").await
    }

    async fn in_control(control: Control, slug: &str) -> Home {
        let workspace = new_workspace("default");
        let id = workspace.id;
        let tenant = control
            .create_tenant(new_tenant(slug), workspace, None)
            .await
            .expect("the slug is free");
        Home {
            control,
            tenant: tenant.id,
            workspace: id,
        }
    }

    /// Another tenant of the same control plane.
    async fn neighbour(&self) -> Home {
        Home::in_control(self.control.clone(), "neighbour").await
    }
}

/// A number that was not given before; ids made of it sort as they were made.
fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn fresh_uuid() -> Uuid {
    Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 | u128::from(fresh()))
}

/// A moment in the life of the tests.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_123).plus(std::time::Duration::from_secs(seconds))
}

fn new_tenant(slug: &str) -> NewTenant {
    NewTenant {
        id: TenantId::from_uuid(fresh_uuid()),
        name: format!("The {slug} company"),
        slug: slug.to_owned(),
        plan: PlanName::Growth,
        region: Region::Eu,
        replicate_to: vec![Region::Us, Region::Apac],
        wrapped_key: "wrapped".to_owned(),
        created_at: at(0),
    }
}

fn new_workspace(slug: &str) -> NewWorkspace {
    NewWorkspace {
        id: WorkspaceId::from_uuid(fresh_uuid()),
        slug: slug.to_owned(),
        name: format!("Workspace {slug}"),
        retention_days: Some(30),
        created_at: at(0),
    }
}

/// A key with every field set, and its hash.
fn new_key(tenant: TenantId, workspace: Option<WorkspaceId>) -> (KeyRecord, KeyHash) {
    let id = KeyId::from_uuid(fresh_uuid());
    let record = KeyRecord {
        id,
        tenant,
        workspace,
        name: "Zoë's \"key\"".to_owned(),
        permissions: Permissions::parse_each(["events:*", "keys:manage"]).expect("permissions"),
        tier: Tier::Custom(250),
        ip_allow: vec![
            "10.0.0.0/8".parse().expect("a network"),
            "2001:db8::/32".parse().expect("a network"),
        ],
        expires_at: Some(at(1_000)),
        revoked_at: None,
        grace_until: None,
        created_at: at(1),
        prefix: "ak_acme_01234567".to_owned(),
        version: 1,
        last_used_at: None,
    };
    (record, hash_of(id))
}

/// The hash that [`new_key`] gives a key.
fn hash_of(id: KeyId) -> KeyHash {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(id.as_bytes());
    KeyHash::from_bytes(bytes)
}

/// What a new tenant looks like.
fn as_made(new: &NewTenant) -> Tenant {
    Tenant::from(new.clone())
}
