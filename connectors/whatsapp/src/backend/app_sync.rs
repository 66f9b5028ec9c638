//! The state that all devices of an account share: its keys, how far it was read, and what was read.

use async_trait::async_trait;
use whatsapp_rust::wacore::{
    appstate::{hash::HashState, processor::AppStateMutationMAC},
    store::{
        error::Result,
        traits::{AppStateSyncKey, AppSyncStore},
    },
};

use super::{VaultBackend, to_json};
use crate::vault::{Row, Table};

/// The row that names the newest key.
const LATEST_SYNC_KEY: &[u8] = b"latest sync key";

/// The key of a mutation's row: the collection, then the index.
fn mutation_key(name: &str, index_mac: &[u8]) -> Vec<u8> {
    let mut key = format!("{name}\0").into_bytes();
    key.extend_from_slice(index_mac);
    key
}

#[async_trait]
impl AppSyncStore for VaultBackend {
    async fn get_sync_key(&self, key_id: &[u8]) -> Result<Option<AppStateSyncKey>> {
        self.get_as(Table::SyncKeys, key_id)
    }

    async fn set_sync_key(&self, key_id: &[u8], key: AppStateSyncKey) -> Result<()> {
        let row = Row {
            value: to_json(&key)?,
            at: super::unix_seconds(),
        };
        self.change(|rows| {
            rows.insert((Table::SyncKeys, key_id.to_vec()), row);
            let latest = Row {
                value: key_id.to_vec(),
                at: super::unix_seconds(),
            };
            rows.insert((Table::Account, LATEST_SYNC_KEY.to_vec()), latest);
        })
        .await
    }

    async fn get_version(&self, name: &str) -> Result<HashState> {
        let found = self.get_as(Table::SyncVersions, name)?;
        Ok(found.unwrap_or_default())
    }

    async fn set_version(&self, name: &str, state: HashState) -> Result<()> {
        self.put_as(Table::SyncVersions, name, &state).await
    }

    async fn put_mutation_macs(
        &self,
        name: &str,
        _version: u64,
        mutations: &[AppStateMutationMAC],
    ) -> Result<()> {
        let rows = mutations.iter().map(|mutation| {
            let key = mutation_key(name, &mutation.index_mac);
            (key, mutation.value_mac.clone())
        });
        self.put_many(Table::MutationMacs, rows).await
    }

    async fn get_mutation_mac(&self, name: &str, index_mac: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.get(Table::MutationMacs, mutation_key(name, index_mac)))
    }

    async fn delete_mutation_macs(&self, name: &str, index_macs: &[Vec<u8>]) -> Result<()> {
        self.change(|rows| {
            for index_mac in index_macs {
                rows.remove(&(Table::MutationMacs, mutation_key(name, index_mac)));
            }
        })
        .await
    }

    async fn clear_mutation_macs(&self, name: &str) -> Result<()> {
        let prefix = mutation_key(name, b"");
        let keeps = |key: &[u8], _: &Row| !key.starts_with(&prefix);
        self.retain(Table::MutationMacs, keeps).await?;
        Ok(())
    }

    async fn get_latest_sync_key_id(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.get(Table::Account, LATEST_SYNC_KEY))
    }
}
