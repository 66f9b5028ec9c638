//! Keys and sessions of the Signal protocol.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use whatsapp_rust::wacore::store::{
    error::{Result, StoreError},
    traits::SignalStore,
};

use super::VaultBackend;
use crate::vault::{Row, Table};

/// A pre-key's row: whether it was given to the network, then the record.
fn pre_key_row(record: &[u8], uploaded: bool) -> Vec<u8> {
    let mut row = vec![u8::from(uploaded)];
    row.extend_from_slice(record);
    row
}

fn identity(row: &[u8]) -> Result<[u8; 32]> {
    row.try_into()
        .map_err(|_length| StoreError::Validation("an identity key has not 32 bytes".into()))
}

#[async_trait]
impl SignalStore for VaultBackend {
    async fn put_identity(&self, address: &str, key: [u8; 32]) -> Result<()> {
        self.put(Table::Identities, address, key.to_vec()).await
    }

    async fn put_identities_batch(&self, identities: &[(Arc<str>, [u8; 32])]) -> Result<()> {
        let rows = identities
            .iter()
            .map(|(address, key)| (address.as_bytes().to_vec(), key.to_vec()));
        self.put_many(Table::Identities, rows).await
    }

    async fn load_identity(&self, address: &str) -> Result<Option<[u8; 32]>> {
        let row = self.get(Table::Identities, address);
        row.as_deref().map(identity).transpose()
    }

    async fn delete_identity(&self, address: &str) -> Result<()> {
        self.remove(Table::Identities, address).await
    }

    async fn get_session(&self, address: &str) -> Result<Option<Bytes>> {
        Ok(self.get(Table::Sessions, address).map(Bytes::from))
    }

    async fn put_session(&self, address: &str, session: &[u8]) -> Result<()> {
        self.put(Table::Sessions, address, session.to_vec()).await
    }

    async fn put_sessions_batch(&self, sessions: &[(Arc<str>, Bytes)]) -> Result<()> {
        let rows = sessions
            .iter()
            .map(|(address, session)| (address.as_bytes().to_vec(), session.to_vec()));
        self.put_many(Table::Sessions, rows).await
    }

    async fn delete_session(&self, address: &str) -> Result<()> {
        self.remove(Table::Sessions, address).await
    }

    async fn has_signal_state_for_user(&self, user: &str) -> Result<bool> {
        let is_theirs = |key: &[u8]| {
            let rest = key.strip_prefix(user.as_bytes());
            rest.is_some_and(|rest| matches!(rest.first(), Some(b'@' | b':')))
        };
        let has = |table| {
            let rows = self.vault.scan(table, user.as_bytes());
            rows.iter().any(|(key, _)| is_theirs(key))
        };
        Ok(has(Table::Sessions) || has(Table::Identities))
    }

    async fn store_prekey(&self, id: u32, record: &[u8], uploaded: bool) -> Result<()> {
        let row = pre_key_row(record, uploaded);
        self.put(Table::PreKeys, id.to_be_bytes(), row).await
    }

    async fn store_prekeys_batch(&self, keys: &[(u32, Bytes)], uploaded: bool) -> Result<()> {
        let rows = keys
            .iter()
            .map(|(id, record)| (id.to_be_bytes().to_vec(), pre_key_row(record, uploaded)));
        self.put_many(Table::PreKeys, rows).await
    }

    async fn load_prekey(&self, id: u32) -> Result<Option<Bytes>> {
        let row = self.get(Table::PreKeys, id.to_be_bytes());
        Ok(row.map(|row| Bytes::from(row).slice(1..)))
    }

    async fn mark_prekeys_uploaded(&self, ids: &[u32]) -> Result<()> {
        self.change(|rows| {
            for id in ids {
                let key = (Table::PreKeys, id.to_be_bytes().to_vec());
                if let Some(Row { value, .. }) = rows.get_mut(&key)
                    && let Some(uploaded) = value.first_mut()
                {
                    *uploaded = 1;
                }
            }
        })
        .await
    }

    async fn remove_prekey(&self, id: u32) -> Result<()> {
        self.remove(Table::PreKeys, id.to_be_bytes()).await
    }

    async fn get_max_prekey_id(&self) -> Result<u32> {
        let rows = self.vault.scan(Table::PreKeys, b"");
        let last = rows
            .last()
            .and_then(|(key, _)| <[u8; 4]>::try_from(key.as_slice()).ok());
        Ok(last.map_or(0, u32::from_be_bytes))
    }

    async fn store_signed_prekey(&self, id: u32, record: &[u8]) -> Result<()> {
        let key = id.to_be_bytes();
        self.put(Table::SignedPreKeys, key, record.to_vec()).await
    }

    async fn load_signed_prekey(&self, id: u32) -> Result<Option<Vec<u8>>> {
        Ok(self.get(Table::SignedPreKeys, id.to_be_bytes()))
    }

    async fn load_all_signed_prekeys(&self) -> Result<Vec<(u32, Vec<u8>)>> {
        let rows = self.vault.scan(Table::SignedPreKeys, b"");
        let rows = rows.into_iter().filter_map(|(key, row)| {
            let id = <[u8; 4]>::try_from(key.as_slice()).ok()?;
            Some((u32::from_be_bytes(id), row.value))
        });
        Ok(rows.collect())
    }

    async fn remove_signed_prekey(&self, id: u32) -> Result<()> {
        self.remove(Table::SignedPreKeys, id.to_be_bytes()).await
    }

    async fn put_sender_key(&self, address: &str, record: &[u8]) -> Result<()> {
        self.put(Table::SenderKeys, address, record.to_vec()).await
    }

    async fn put_sender_keys_batch(&self, sender_keys: &[(Arc<str>, Bytes)]) -> Result<()> {
        let rows = sender_keys
            .iter()
            .map(|(address, record)| (address.as_bytes().to_vec(), record.to_vec()));
        self.put_many(Table::SenderKeys, rows).await
    }

    async fn get_sender_key(&self, address: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.get(Table::SenderKeys, address))
    }

    async fn delete_sender_key(&self, address: &str) -> Result<()> {
        self.remove(Table::SenderKeys, address).await
    }
}
