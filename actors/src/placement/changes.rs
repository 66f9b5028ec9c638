//! What nodes tell each other: what was changed in the control plane, and who comes and goes.
//!
//! Only the words and how they are sent. What is forgotten or done on hearing them is the engine's business; whatever is
//! lost on the way is found out from the stores a little later.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    event::Event,
    fence::Fence,
    ids::{DeviceId, TenantId, WebhookId, WorkspaceId},
    position::Position,
};
use futures_util::{StreamExt as _, stream::BoxStream};
use outbound::bus::Topic;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Placement, Shared, Wire, log_message, readers::ReaderNews};

/// Something that other nodes may remember was changed in the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SharedChange {
    /// Keys of a tenant.
    Keys(TenantId),
    /// The tenant itself: its plan, or whether it is suspended.
    Tenant(TenantId),
    /// A workspace or its template.
    Workspace(TenantId, WorkspaceId),
    /// A webhook, made, changed or deleted.
    Webhook {
        /// Whose.
        tenant: TenantId,
        /// Which.
        id: WebhookId,
        /// Its number.
        no: u64,
    },
    /// The tenant has another owner.
    Place(TenantId),
    /// A session of a device was opened, and all older ones are over.
    DeviceTaken {
        /// Whose.
        tenant: TenantId,
        /// Which one.
        device: DeviceId,
        /// The newer session's fence.
        fence: Fence,
    },
}

/// Somebody comes or goes. Sessions and nodes are told by the names that they have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NodeNews {
    /// A node takes nothing more, and gives up what it has.
    Leaving {
        /// Its session.
        session: String,
    },
    /// A node has gone: what it held is free.
    Left {
        /// Its session.
        session: String,
    },
    /// A tenant was given to a node, which is to go on with its work.
    Given {
        /// Which tenant.
        tenant: TenantId,
        /// The session that it was given to.
        to: String,
    },
    /// An operator wants a tenant on another node: its owner is to give it there.
    Wanted {
        /// Which tenant.
        tenant: TenantId,
        /// The session of the node that is to have it.
        by: String,
    },
}

/// Anything of these, from somebody.
#[derive(Serialize, Deserialize)]
struct Letter<T> {
    /// The process that says it.
    from: String,
    what: T,
}

impl Placement {
    /// Tells all other nodes what was changed.
    pub(crate) fn tell_change(&self, what: SharedChange) {
        if let Some(shared) = self.shared() {
            shared.tell(&Topic::Changes, what);
        }
    }

    /// Tells all other nodes who comes or goes.
    pub(crate) fn tell_nodes(&self, what: NodeNews) {
        if let Some(shared) = self.shared() {
            shared.tell(&Topic::Nodes, what);
        }
    }
}

impl Placement {
    /// Tells the nodes with readers what was appended to a log that is held here. The feed has it already.
    pub(crate) fn tell_log(&self, tenant: TenantId, events: &[Arc<Event>]) {
        if let Some(last) = events.last()
            && let Some(wire) = self.wire_to_readers(tenant)
        {
            let body = log_message::encode(last.position, events);
            wire.publish(&Topic::Log(tenant), body);
        }
    }

    /// Tells the nodes with readers where a log ends that is held here.
    pub(crate) fn tell_head(&self, tenant: TenantId, head: Position) {
        if let Some(wire) = self.wire_to_readers(tenant) {
            wire.publish(&Topic::Log(tenant), log_message::encode(head, &[]));
        }
    }

    /// Tells all other nodes of readers.
    pub(crate) fn tell_readers(&self, what: ReaderNews) {
        if let Some(shared) = self.shared() {
            shared.tell(&Topic::Readers, what);
        }
    }

    /// Another node says that these logs are read there. Answers those of which it was not known.
    pub(crate) fn note_readers(&self, tenants: Vec<TenantId>) -> Vec<TenantId> {
        match self.shared() {
            Some(shared) => shared.readers.note(tenants, Instant::now()),
            None => Vec::new(),
        }
    }

    /// The wire, if there is one, and somebody at its other end who reads the log.
    fn wire_to_readers(&self, tenant: TenantId) -> Option<&Arc<dyn Wire>> {
        let shared = self.shared()?;
        let wire = shared.wire.as_ref()?;
        shared
            .readers
            .is_read(tenant, Instant::now())
            .then_some(wire)
    }
}

impl Shared {
    pub(super) fn tell<T: Serialize>(&self, topic: &Topic, what: T) {
        let Some(wire) = &self.wire else { return };
        let letter = Letter {
            from: self.boot.clone(),
            what,
        };
        let body = serde_json::to_vec(&letter).expect("names and ids have a form in JSON");
        wire.publish(topic, body.into());
    }

    /// What others tell about a topic, without what this process has said itself. What is not understood comes from a node of
    /// another version, and is passed over.
    pub(crate) fn hear<T>(&self, topic: &Topic) -> BoxStream<'static, T>
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
    {
        let Some(wire) = &self.wire else {
            return futures_util::stream::pending().boxed();
        };
        let boot = self.boot.clone();
        let understood = move |body: Bytes| {
            let letter = serde_json::from_slice::<Letter<T>>(&body).ok();
            let heard = letter.filter(|letter| letter.from != boot);
            std::future::ready(heard.map(|letter| letter.what))
        };
        wire.subscribe(topic).filter_map(understood).boxed()
    }
}
