//! Messages: the network hears that one was delivered when the engine has it on disk, and not before.

use std::sync::Arc;

use gateway::{EventError, Gateway, Position};
use tracing::error;
use whatsapp_rust::{
    Client, InboundDurabilityHook, anyhow, async_trait, types::durability_hook::InboundMessage,
};

use crate::{backend::VaultBackend, told};

/// See the module.
pub(super) struct Inbound {
    gateway: Gateway,
    addresses: VaultBackend,
}

impl Inbound {
    /// Gives messages to this gateway.
    pub(super) fn new(gateway: Gateway, addresses: VaultBackend) -> Inbound {
        Inbound { gateway, addresses }
    }
}

#[async_trait]
impl InboundDurabilityHook for Inbound {
    async fn on_messages(
        &self,
        _client: Arc<Client>,
        batch: &[InboundMessage],
    ) -> anyhow::Result<()> {
        let mut receipts = Vec::with_capacity(batch.len());
        let told = batch.iter();
        for told in told.filter_map(|inbound| told::message(&self.addresses, inbound)) {
            match self.gateway.send(told.event()).await {
                Ok(receipt) => receipts.push(receipt),
                Err(error) => taken(Err(error))?,
            }
        }
        for receipt in receipts {
            taken(receipt.await)?;
        }
        Ok(())
    }
}

/// A message that the engine refuses counts as taken: it would be refused again however often the network brings it.
fn taken(answer: Result<Position, EventError>) -> Result<(), EventError> {
    match answer {
        Ok(_position) => Ok(()),
        Err(EventError::Refused { code, message }) => {
            error!("a message is not taken by the engine, and is lost: {code}: {message}");
            Ok(())
        }
        Err(ended @ EventError::Ended(_)) => Err(ended),
    }
}
