//! What every database must do as the control plane: cases that know nothing of the database below them.
//!
//! A case gets a place where an empty control plane can be opened, and opened again. A new database is put under all of
//! them by one more `on_database!` with a function that makes such a place.

mod audit;
mod device_sessions;
mod devices;
mod keys;
mod leases;
mod reservations;
mod sessions;
mod tenants;
mod webhooks;
mod workspaces;

mod postgres;
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

use super::{Control, NewTenant, NewWorkspace, SessionId, Tenant};

/// Makes a test of every case for one database, whose place a function makes.
macro_rules! on_database {
    ($place:path) => {
        $crate::control::conformance::cases! { $place:
            tenants {
                a_tenant_reads_back_as_it_was_made,
                a_slug_is_taken_once_however_many_want_it,
                a_tenant_comes_with_its_workspace_and_key_or_not_at_all,
                tenants_are_listed_page_by_page,
                a_change_of_a_tenant_leaves_the_rest_and_raises_the_version,
                a_change_of_an_old_version_is_refused,
                everything_is_there_after_the_store_was_closed_and_opened,
                a_closed_store_is_unavailable,
                operators_see_counts,
            }
            workspaces {
                a_workspace_reads_back_as_it_was_made,
                a_slug_is_unique_within_its_tenant_only,
                a_change_raises_the_version_and_an_old_version_is_refused,
                a_template_is_set_and_removed,
                a_deleted_workspace_is_gone_and_its_slug_is_free,
                workspaces_are_listed_page_by_page,
                what_decides_for_how_long_events_are_kept_is_known_of_deleted_workspaces_too,
                a_foreign_tenant_sees_and_changes_no_workspace,
            }
            keys {
                a_key_reads_back_as_it_was_made_by_id_and_by_hash,
                a_hash_is_taken_once,
                a_key_for_a_foreign_workspace_is_refused,
                keys_are_listed_page_by_page_and_by_workspace,
                a_change_raises_the_version_and_an_old_version_is_refused,
                a_revoked_key_is_still_found_and_stays_revoked_since_the_first_time,
                a_rotated_key_is_of_use_until_its_grace_is_over,
                of_many_rotations_at_once_one_wins,
                a_rotation_that_fails_leaves_the_old_key_as_it_was,
                use_is_written_down_and_never_moves_back,
                a_foreign_tenant_sees_and_changes_no_key,
            }
            webhooks {
                a_webhook_reads_back_as_it_was_made,
                a_number_is_never_given_twice,
                a_limit_holds_however_many_come_at_once,
                a_webhook_that_was_refused_takes_no_number,
                a_webhook_for_a_foreign_workspace_is_refused,
                a_change_raises_the_version_and_an_old_version_is_refused,
                a_state_is_set_whatever_else_was_changed,
                a_deletion_of_an_old_version_is_refused,
                webhooks_are_listed_page_by_page_or_all_at_once,
                a_foreign_tenant_sees_and_changes_no_webhook,
            }
            devices {
                a_device_reads_back_as_it_was_made,
                a_limit_of_devices_holds_however_many_come_at_once,
                a_device_for_a_foreign_workspace_is_refused,
                a_change_of_a_device_leaves_the_rest_and_raises_the_version,
                a_change_of_a_device_is_noted_with_it_or_neither_is,
                a_deletion_of_an_old_version_of_a_device_is_refused,
                a_device_that_leaves_is_there_for_whoever_finishes_it_only,
                devices_are_listed_page_by_page_and_by_workspace,
                a_foreign_tenant_sees_and_changes_no_device,
            }
            device_sessions {
                a_device_goes_through_a_session,
                the_newest_session_wins_and_the_older_one_says_no_more,
                a_session_of_a_node_that_died_is_not_live,
                a_node_whose_own_session_has_ended_opens_none,
                sessions_of_a_node_alone_end_with_its_process,
                of_a_thousand_contests_each_has_one_winner,
                a_fence_is_raised_to_what_the_region_knows,
                what_was_seen_is_noted_and_never_moves_back,
                a_device_that_leaves_ends_its_session_and_opens_no_other,
                a_foreign_tenant_opens_and_ends_no_session,
            }
            reservations {
                of_many_requests_at_once_exactly_one_is_new,
                an_answer_is_replayed_until_it_expires,
                another_request_with_the_same_key_is_a_mismatch,
                a_released_key_is_free_again,
                an_answer_that_is_kept_cannot_be_released_or_replaced,
                a_reservation_of_a_process_that_died_is_taken_over,
                a_reservation_of_a_session_that_lives_is_not_taken_over,
                the_same_key_of_another_tenant_is_another_key,
                a_sweep_takes_what_has_expired_only,
            }
            audit {
                entries_read_back_as_they_were_written_newest_first,
                entries_are_filtered_and_paged,
                entries_written_at_once_are_numbered_without_holes,
                a_foreign_tenant_sees_no_entry,
            }
            sessions {
                a_session_lives_from_its_beginning_to_its_end,
                a_heartbeat_renews_and_one_that_comes_too_late_finds_the_session_lost,
                a_session_that_expired_is_not_listed_and_is_reaped_once,
                a_heartbeat_that_meets_a_reaping_is_renewed_or_lost_and_never_both,
                an_id_reads_back_from_what_it_shows,
            }
            leases {
                a_lease_that_nobody_had_comes_with_the_first_fence,
                a_session_keeps_the_fence_of_what_it_claims_again,
                what_a_session_that_lives_owns_is_held,
                a_released_lease_is_free_and_its_next_fence_is_higher,
                only_the_owner_releases_and_only_under_its_fence,
                a_release_lifts_the_next_fence_above_what_a_log_has_seen,
                what_an_expired_session_owned_is_stolen,
                what_an_ended_session_owned_is_free,
                a_claimer_whose_session_is_gone_gets_nothing,
                of_two_claimers_exactly_one_wins_a_thousand_times,
                of_many_thieves_exactly_one_gets_what_a_dead_session_owned,
                a_session_that_ends_amid_claims_leaves_nothing_behind,
                a_lease_is_handed_over_to_a_session_that_lives,
                kinds_do_not_meet,
                tenants_without_an_owner_are_found_in_their_order,
                a_session_s_leases_are_listed_by_kind,
            }
        }
    };
}
use on_database;

macro_rules! cases {
    ($place:path: $($group:ident { $($case:ident),+ $(,)? })+) => {
        $(mod $group {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let place = $place().await;
                super::super::$group::$case(&place).await;
                place.remove().await;
            })+
        })+
    };
}
use cases;

/// Where a control plane lies.
struct Place {
    url: String,
    kept: Kept,
}

/// What goes when the place is not needed any more.
enum Kept {
    /// Goes by itself.
    Folder(#[expect(dead_code, reason = "lives as long as the place")] tempfile::TempDir),
    /// A database on a server.
    Database(postgres::Database),
}

impl Place {
    async fn open(&self) -> Control {
        Control::open(&self.url).await.expect("opens")
    }

    async fn remove(self) {
        match self.kept {
            Kept::Folder(_) => {}
            Kept::Database(database) => database.remove().await,
        }
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

/// Lets a session's time run out, as if its heart had stopped for long enough.
async fn expire(control: &Control, session: SessionId) {
    sqlx::query("UPDATE node_sessions SET expires_at = 0 WHERE id = $1")
        .bind(session.to_string())
        .execute(control.database.pool())
        .await
        .expect("expires");
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
