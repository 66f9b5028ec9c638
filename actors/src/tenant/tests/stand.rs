//! A tenant with everything around it, on stores in a temporary folder that survives restarts of the actors.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use actix::Arbiter;
use bytes::Bytes;
use domain::{
    chain,
    clock::Clock,
    event::{Event, EventType, Fields, NewEvent, Seed},
    event_id::event_id,
    ids::{TenantId, WorkspaceId},
    plan::{PlanName, Plans},
    position::Position,
    region::Region,
    template::Template,
    time::Timestamp,
};
use rand::{SeedableRng as _, rngs::StdRng};
use store::{
    control::{Control, NewTenant, NewWorkspace},
    log::{Append, Consumer, ConsumerName, RegionLog, Write, sqlite::SqliteLog},
};
use tempfile::TempDir;
use uuid::Uuid;

use super::super::*;
use crate::{
    feed::{Feed, Feeds, RingLimits},
    region::{RegionActor, RegionLogs},
    registry::{Registry, RegistryOptions},
    webhook_board::WebhookBoard,
};

const TUNING: TenantTuning = TenantTuning {
    passivate_after: Duration::from_millis(500),
    ring: RingLimits {
        events_max: 64,
        bytes_max: 1 << 20,
    },
    dedup_capacity: 4_096,
    mark_every: Duration::from_millis(20),
};

pub(super) struct Stand {
    folder: TempDir,
    pub(super) tenant: TenantId,
    pub(super) workspace: WorkspaceId,
    pub(super) control: Control,
    pub(super) log: Arc<dyn RegionLog>,
    pub(super) tenants: Registry<TenantActor>,
}

impl Stand {
    pub(super) async fn open() -> Stand {
        Stand::open_with(PlanName::Enterprise).await
    }

    pub(super) async fn open_with(plan: PlanName) -> Stand {
        let folder = tempfile::tempdir().unwrap();
        let control = open_control(folder.path()).await;
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        let new = NewTenant {
            id: tenant,
            name: "Acme".into(),
            slug: "acme".into(),
            plan,
            region: Region::Au,
            replicate_to: vec![],
            wrapped_key: "unused".into(),
            created_at: Timestamp::from_micros(1),
        };
        let workspace = new_workspace(2, "default");
        let id = workspace.id;
        control.create_tenant(new, workspace, None).await.unwrap();
        Stand::assemble(folder, tenant, id, control).await
    }

    async fn assemble(
        folder: TempDir,
        tenant: TenantId,
        workspace: WorkspaceId,
        control: Control,
    ) -> Stand {
        let log: Arc<dyn RegionLog> =
            Arc::new(SqliteLog::open(folder.path(), Region::Au).await.unwrap());
        let logs = RegionLogs::new(HashMap::from([(Region::Au, Arc::clone(&log))]));
        let options = RegistryOptions {
            in_flight_max: 256,
            ask_timeout: Duration::from_secs(60),
        };
        let arbiters = vec![Arbiter::current()];
        let runtime = tokio::runtime::Handle::current();
        let region_logs = logs.clone();
        let regions = Registry::new(
            arbiters.clone(),
            runtime.clone(),
            options,
            move |region, lifeline| RegionActor::new(region, region_logs.get(region), lifeline),
        );
        let webhooks = Registry::new(arbiters.clone(), runtime.clone(), options, |_, _| {
            unreachable!("this stand has no webhooks")
        });
        let started_at = tokio::time::Instant::now();
        let context = Arc::new(TenantContext {
            clock: Clock::new(Timestamp::from_micros(1_700_000_000_000_000), move || {
                started_at.elapsed()
            }),
            random: Box::new(|| StdRng::seed_from_u64(7)),
            control: control.clone(),
            logs,
            regions,
            placement: crate::placement::Placement::alone(),
            webhooks,
            board: Arc::new(WebhookBoard::default()),
            feeds: Arc::new(Feeds::default()),
            plans: Plans::default(),
            tuning: TUNING,
        });
        let tenants = Registry::new(arbiters, runtime, options, move |tenant, lifeline| {
            TenantActor::new(tenant, Arc::clone(&context), lifeline)
        });
        Stand {
            folder,
            tenant,
            workspace,
            control,
            log,
            tenants,
        }
    }

    /// The same stores with fresh actors, as after a crash: nothing was told to the old ones.
    pub(super) async fn restart(self) -> Stand {
        self.tenants.close();
        self.log.close().await;
        self.control.close().await;
        let Stand {
            folder,
            tenant,
            workspace,
            log,
            tenants,
            ..
        } = self;
        drop((log, tenants));
        let control = open_control(folder.path()).await;
        Stand::assemble(folder, tenant, workspace, control).await
    }

    pub(super) async fn add_workspace(&self, slug: &str) -> WorkspaceId {
        let new = new_workspace(3, slug);
        self.control
            .create_workspace(self.tenant, new)
            .await
            .unwrap()
            .id
    }

    pub(super) async fn set_template(&self, template: Template) {
        let at = Timestamp::from_micros(5);
        self.control
            .set_template(self.tenant, self.workspace, Some(&template), at, None)
            .await
            .unwrap();
        let what = Change::Workspace(self.workspace);
        let message = |reply| Changed { what, reply };
        self.tenants.ask(&self.tenant, message).await.unwrap();
    }

    pub(super) async fn ingest(&self, events: Vec<NewEvent>) -> Result<Vec<Item>, IngestError> {
        let message = |reply| Ingest {
            events,
            idempotent: None,
            from: None,
            reply,
        };
        match self.tenants.ask(&self.tenant, message).await.unwrap()? {
            Ingested::Items(items, _) => Ok(items),
            Ingested::Replayed(answer) => panic!("nobody asked for a replay: {answer:?}"),
        }
    }

    pub(super) async fn ingest_once(&self, key: &str, body: &str) -> Result<Ingested, IngestError> {
        let hash = |text: &str| {
            let mut hash = [0; 32];
            hash[..text.len()].copy_from_slice(text.as_bytes());
            hash
        };
        let idempotent = Some(IdempotentRequest {
            key_hash: hash(key),
            request_hash: hash(body),
            keep_for: Duration::from_secs(60),
            render: Box::new(|items| {
                let taken = items
                    .iter()
                    .filter(|item| matches!(item, Item::Accepted(_)));
                (202, Bytes::from(format!("{} taken", taken.count())))
            }),
        });
        let events = vec![event(self.workspace)];
        let message = |reply| Ingest {
            events,
            idempotent,
            from: None,
            reply,
        };
        self.tenants.ask(&self.tenant, message).await.unwrap()
    }

    pub(super) async fn feed(&self) -> Arc<Feed> {
        let message = |reply| Subscribe { reply };
        self.tenants
            .ask(&self.tenant, message)
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    pub(super) async fn acknowledge(&self, what: Acknowledgement) -> Result<Consumer, AckError> {
        let name = ConsumerName {
            workspace: None,
            name: "default".into(),
        };
        let message = |reply| Acknowledge { name, what, reply };
        self.tenants.ask(&self.tenant, message).await.unwrap()
    }

    pub(super) async fn all(&self) -> Vec<Event> {
        self.log
            .read_after(self.tenant, Position::ZERO, 10_000, usize::MAX)
            .await
            .unwrap()
    }

    /// Appends one event behind the actor's back.
    pub(super) async fn append_as_another(&self) {
        let last = self.all().await.pop().unwrap();
        let foreign = self.foreign_event(&last);
        let part = Write::Append(Append {
            tenant: self.tenant,
            expected_head: foreign.position.prev(),
            events: vec![foreign],
            nodes: vec![],
            answers: vec![],
            sessions: vec![],
            messages: vec![],
        });
        self.log.commit(&[part]).await.unwrap().remove(0).unwrap();
    }

    fn foreign_event(&self, last: &Event) -> Arc<Event> {
        let position = last.position.next();
        let received_at = last.received_at;
        let new = event(self.workspace);
        let mut foreign = Event {
            position,
            seq: last.seq.next(),
            id: event_id(received_at, position, 9),
            workspace: new.workspace,
            received_at,
            kind: new.kind,
            fields: new.fields,
            payload: new.payload,
            seed: Seed([9; 32]),
            prev_hash: last.hash,
            hash: last.hash,
        };
        chain::link(self.tenant, &mut foreign, last.hash);
        Arc::new(foreign)
    }
}

pub(super) fn event(workspace: WorkspaceId) -> NewEvent {
    NewEvent {
        workspace,
        kind: EventType::new("order.paid").unwrap(),
        fields: Fields::default(),
        payload: Bytes::from_static(b"{\"total\": 12.50}"),
    }
}

pub(super) fn event_with(workspace: WorkspaceId, dedup_id: &str) -> NewEvent {
    let mut event = event(workspace);
    event.fields.dedup_id = Some(dedup_id.into());
    event
}

pub(super) fn accepted(items: &[Item]) -> Vec<Arc<Event>> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Accepted(event) => Some(Arc::clone(event)),
            Item::Duplicate { .. } | Item::Rejected(_) | Item::NoWorkspace => None,
        })
        .collect()
}

fn new_workspace(id: u128, slug: &str) -> NewWorkspace {
    NewWorkspace {
        id: WorkspaceId::from_uuid(Uuid::from_u128(id)),
        slug: slug.into(),
        name: slug.into(),
        retention_days: None,
        created_at: Timestamp::from_micros(1),
    }
}

async fn open_control(folder: &Path) -> Control {
    let url = format!("sqlite:{}", folder.join("control.db").display());
    Control::open(&url).await.unwrap()
}
