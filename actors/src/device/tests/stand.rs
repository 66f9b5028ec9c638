//! One engine with one device, and gateways that connect to it.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    device::{ByeReason, DeviceEvent, DeviceInput, DevicePatch, MessageKey, Report},
    event::{Event, EventType},
    fence::Fence,
    ids::{DeviceId, KeyId, TenantId},
    position::Position,
};
use serde_json::Value;
use store::{
    control::{AuditEntry, Device, Holder},
    log::{RegionLog, Write},
};
use uuid::Uuid;

use crate::{
    Engine,
    device::{
        DeviceKey, LinkReceiver, OpenError, OpenSession, Session, SessionError, ToDevice,
        Transport, link,
    },
    engine::{DeviceUpdate, Keeper},
    webhook::tests::house::House,
};

pub(super) struct Stand {
    pub(super) house: House,
    pub(super) device: DeviceId,
}

/// A gateway that is connected.
pub(super) struct Gateway {
    pub(super) session: Session,
    pub(super) link: LinkReceiver,
}

impl Stand {
    pub(super) async fn open() -> Stand {
        let house = House::open().await;
        let device = make_device(&house.engine, house.id()).await;
        Stand { house, device }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.house.engine
    }

    pub(super) fn key(&self) -> DeviceKey {
        DeviceKey {
            tenant: self.house.id(),
            device: self.device,
        }
    }

    pub(super) async fn connect(&self) -> Gateway {
        connect(self.engine(), self.key()).await.unwrap()
    }

    /// Connects, and says that it is connected to its network.
    pub(super) async fn connected(&self) -> Gateway {
        let gateway = self.connect().await;
        self.says(&gateway, &connected()).await;
        gateway
    }

    pub(super) async fn says(&self, gateway: &Gateway, report: &Report) {
        let told = self.engine().report(&gateway.session, report.clone());
        told.await.unwrap();
    }

    pub(super) async fn row(&self) -> Device {
        let found = self.house.control.device(self.house.id(), self.device);
        found.await.unwrap().unwrap()
    }

    /// All that the log says: type, and `reason` of what the engine says about the device.
    pub(super) async fn said(&self) -> Vec<String> {
        said(&*self.house.log, self.house.id()).await
    }

    /// Waits until the log says so much, and that alone.
    pub(super) async fn until_said(&self, expected: &[&str]) {
        until(async || self.said().await.len() >= expected.len()).await;
        until(async || self.engine().inner.devices.board.owes_nothing()).await;
        assert_eq!(self.said().await, expected);
    }

    pub(super) async fn pass(&self, time: Duration) {
        self.house.pass(time).await;
    }

    /// Opens a session on a node that nobody here hears of, in the control plane only. Answers its fence.
    pub(super) async fn open_elsewhere(&self) -> Fence {
        let holder = Holder {
            session: None,
            node: "elsewhere".into(),
            boot: "elsewhere".into(),
        };
        let now = self.engine().clock().now();
        let control = &self.house.control;
        let opened = control.open_device_session(self.house.id(), self.device, &holder, None, now);
        opened.await.unwrap().unwrap().fence
    }

    /// Raises the device's fence in the region's log, as the node of a newer session does.
    pub(super) async fn raise_fence(&self, fence: Fence) {
        let part = Write::OpenDevice {
            tenant: self.house.id(),
            device: self.device,
            fence,
        };
        let raised = self.house.log.commit(&[part]).await.unwrap().remove(0);
        raised.unwrap();
    }

    /// Somebody else takes the device, and its session here notices by its next event.
    pub(super) async fn lose_to_another(&self, gateway: &mut Gateway) {
        self.raise_fence(Fence::new(7)).await;
        let events = vec![message("message.received", "1")];
        let late = self.engine().ingest_from_device(&gateway.session, events);
        assert!(matches!(late.await, Err(SessionError::Replaced)));
        assert_eq!(gateway.bye().await, Some(ByeReason::Replaced));
    }

    /// Waits until the device has no session here, and everything is written.
    pub(super) async fn until_quiet(&self) {
        until(async || self.engine().inner.devices.board.is_quiet()).await;
    }
}

impl Gateway {
    /// What it is told next, if that is a goodbye.
    pub(super) async fn bye(&mut self) -> Option<ByeReason> {
        match self.link.recv().await {
            Some(ToDevice::Bye(reason)) => Some(reason),
            Some(ToDevice::Command(command)) => panic!("a command: {command:?}"),
            None => None,
        }
    }

    pub(super) async fn command(&mut self) -> domain::device::Command {
        match self.link.recv().await {
            Some(ToDevice::Command(command)) => command,
            other @ (Some(ToDevice::Bye(_)) | None) => panic!("no command: {other:?}"),
        }
    }
}

pub(super) async fn connect(engine: &Engine, key: DeviceKey) -> Result<Gateway, OpenError> {
    let (link, receiver) = link();
    let open = OpenSession {
        tenant: key.tenant,
        device: key.device,
        gateway: Some("test/1".into()),
        transport: Transport::WebSocket,
        link,
    };
    let session = engine.open_session(open).await?;
    Ok(Gateway {
        session,
        link: receiver,
    })
}

pub(super) async fn make_device(engine: &Engine, tenant: TenantId) -> DeviceId {
    let tenant = engine.tenant(tenant).await.unwrap();
    let input = DeviceInput::parse(br#"{"name":"Phone"}"#).unwrap();
    let made = engine.create_device(&tenant, None, input).await.unwrap();
    made.id
}

/// Whoever keeps credentials, always with the same key and from the same place.
pub(super) fn keeper() -> Keeper {
    Keeper {
        key: KeyId::from_uuid(Uuid::from_u128(1)),
        ip: [127, 0, 0, 1].into(),
    }
}

/// How a change of a device is noted.
pub(super) fn note(device: &Device) -> AuditEntry {
    AuditEntry {
        tenant: device.tenant,
        at: device.updated_at,
        actor: "test".to_owned(),
        action: "device.updated".to_owned(),
        resource_type: "device".to_owned(),
        resource_id: device.id.to_string(),
        meta: serde_json::Value::Null,
        ip: None,
        user_agent: None,
    }
}

/// A change that is made whatever the version is.
pub(super) fn change(patch: &str) -> DeviceUpdate<'static> {
    DeviceUpdate {
        patch: DevicePatch::parse(patch.as_bytes()).unwrap(),
        if_version: None,
        note: &note,
    }
}

pub(super) fn connected() -> Report {
    Report::Connected { reason: None }
}

pub(super) fn offline(reason: &str) -> Report {
    Report::Offline {
        reason: Some(reason.into()),
    }
}

/// An event about a message.
pub(super) fn message(kind: &str, id: &str) -> DeviceEvent {
    DeviceEvent {
        id: format!("{kind}/{id}").into(),
        kind: EventType::new(kind).unwrap(),
        at: None,
        key: Some(MessageKey {
            chat: "c".into(),
            sender: "s".into(),
            id: id.into(),
        }),
        data: Bytes::from(format!("{{\"text\": \"{kind} {id}\"}}")),
    }
}

pub(super) async fn all(log: &dyn RegionLog, tenant: TenantId) -> Vec<Event> {
    let read = log.read_after(tenant, Position::ZERO, 100_000, usize::MAX);
    read.await.unwrap()
}

pub(super) async fn said(log: &dyn RegionLog, tenant: TenantId) -> Vec<String> {
    let events = all(log, tenant).await;
    let one = |event: &Event| {
        let data: Value = serde_json::from_slice(&event.payload).unwrap();
        match data.get("reason").and_then(Value::as_str) {
            Some(reason) => format!("{} {reason}", event.kind),
            None => event.kind.to_string(),
        }
    };
    events.iter().map(one).collect()
}

/// Waits for something that comes by itself, without moving the clock.
pub(super) async fn until(mut is_there: impl AsyncFnMut() -> bool) {
    while !is_there().await {
        tokio::task::yield_now().await;
    }
}
