//! What is kept of a device in its region: its connector's credentials, sealed under the tenant's key, and its messages.
//!
//! Credentials are opaque bytes. They are written under the fence of the session that made them, so that a connector that
//! was replaced cannot spoil them.

use std::{collections::HashMap, net::IpAddr};

use bytes::Bytes;
use domain::{
    fence::Fence,
    ids::{DeviceId, KeyId, TenantId},
    position::Position,
};
use store::log::{Credentials, Message, MessageQuery, Write, WriteError};
use uuid::Uuid;

use crate::{
    device::DeviceKey,
    engine::{Engine, EngineError},
    region,
};

/// What a connector keeps with the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCredentials {
    /// The fence that is held now: what is written must carry it.
    pub fence: u64,
    /// What was written last.
    pub bytes: Option<Bytes>,
}

/// Who writes or reads credentials, or connects as a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// With which API key.
    pub key: KeyId,
    /// From where.
    pub ip: IpAddr,
}

/// What is done to a device so often that it is noted once, and again when somebody else does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Its credentials are written.
    Keep {
        /// Under which fence: the one that is held; before the device's first session, 0.
        fence: u64,
    },
    /// Its credentials are read.
    Read {
        /// The one that is held then.
        fence: u64,
    },
    /// A session is opened.
    Connect,
}

/// Why credentials were not written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// There is no such device.
    #[error("there is no such device")]
    NotFound,
    /// Another session holds the device.
    #[error("the device is held under fence {held}")]
    Fenced {
        /// Its fence.
        held: u64,
    },
    /// The engine cannot do it now.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// One message of a device, and what its events say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceMessage {
    /// As it stands.
    pub message: Message,
    /// The payload of the event that told of it.
    pub payload: Option<Bytes>,
    /// The payload of its last edit.
    pub edit: Option<Bytes>,
}

/// One page of a device's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceMessages {
    /// Newest first.
    pub messages: Vec<DeviceMessage>,
    /// The last message that was looked at, if there may be more.
    pub next: Option<Uuid>,
}

impl Engine {
    /// What the device's connector keeps with the engine, and the fence that is held now.
    pub async fn device_credentials(
        &self,
        tenant: TenantId,
        device: DeviceId,
    ) -> Result<KeptCredentials, EngineError> {
        self.device(tenant, None, device).await?;
        let log = self.inner.logs.get(self.region_of(tenant).await?);
        let fence = log.device_fence(tenant, device).await?.get();
        let bytes = match log.credentials(tenant, device).await? {
            Some(kept) => {
                let secrets = &self.inner.secrets;
                Some(
                    secrets
                        .open_credentials(tenant, device, &kept.sealed)
                        .await?,
                )
            }
            None => None,
        };
        Ok(KeptCredentials { fence, bytes })
    }

    /// Whether somebody else did this to the device last, as far as this node knows: then it is worth a note in the audit log.
    pub fn is_news(&self, tenant: TenantId, device: DeviceId, what: Habit, by: Keeper) -> bool {
        let key = DeviceKey { tenant, device };
        self.inner.devices.board.is_news(key, what, by)
    }

    /// Keeps what the device's connector has to keep, and answers whether somebody else did it last, as far as this node knows.
    /// Only the session that holds the device, under `fence`, may do it.
    pub async fn put_device_credentials(
        &self,
        tenant: TenantId,
        device: DeviceId,
        fence: u64,
        by: Keeper,
        bytes: Bytes,
    ) -> Result<bool, CredentialsError> {
        match self.device(tenant, None, device).await {
            Ok(_) => {}
            Err(EngineError::NotFound(_)) => return Err(CredentialsError::NotFound),
            Err(error) => return Err(error.into()),
        }
        let region = self.region_of(tenant).await?;
        let sealed = self
            .inner
            .secrets
            .seal_credentials(tenant, device, &bytes)
            .await?;
        let part = Write::Credentials {
            tenant,
            device,
            credentials: Credentials {
                fence: Fence::new(fence),
                sealed,
                at: self.inner.clock.now(),
            },
        };
        match region::write(&self.inner.regions, region, part).await {
            Ok(()) => {
                let key = DeviceKey { tenant, device };
                let board = &self.inner.devices.board;
                Ok(board.is_news(key, Habit::Keep { fence }, by))
            }
            Err(WriteError::DeviceFenced { held, .. }) => {
                Err(CredentialsError::Fenced { held: held.get() })
            }
            Err(error) => Err(EngineError::from(error).into()),
        }
    }

    /// One page of a device's messages, with what their events say.
    pub async fn device_messages(
        &self,
        tenant: TenantId,
        query: &MessageQuery,
    ) -> Result<DeviceMessages, EngineError> {
        let log = self.inner.logs.get(self.region_of(tenant).await?);
        let page = log.messages(tenant, query).await?;
        let positions = page.messages.iter();
        let positions = positions.flat_map(|message| [message.position, message.edited]);
        let mut positions: Vec<Position> = positions.flatten().collect();
        positions.sort_unstable();
        positions.dedup();
        let events = log.read_many(tenant, &positions).await?;
        let payloads: HashMap<Position, Bytes> = events
            .into_iter()
            .map(|event| (event.position, event.payload))
            .collect();
        let payload = |position: Option<Position>| payloads.get(&position?).cloned();
        let messages = page.messages.into_iter().map(|message| DeviceMessage {
            payload: payload(message.position),
            edit: payload(message.edited),
            message,
        });
        Ok(DeviceMessages {
            messages: messages.collect(),
            next: page.next,
        })
    }
}
