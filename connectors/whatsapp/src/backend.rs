//! The library's storage, on a vault: one file for each of its parts.
//!
//! Rows only; when the library reads or writes which is its own business.

mod app_sync;
mod device;
mod message_secrets;
mod protocol;
mod signal;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::{Serialize, de::DeserializeOwned};
use whatsapp_rust::wacore::store::{
    error::{Result, StoreError},
    traits::LidPnMappingEntry,
};

use crate::{
    clock::unix_seconds,
    told::Addresses,
    vault::{KeepError, Row, Rows, Table, Vault},
};

/// See the module. Clones are the same storage.
#[derive(Clone)]
pub(crate) struct VaultBackend {
    vault: Vault,
    is_closed: Arc<AtomicBool>,
}

impl VaultBackend {
    /// Storage on this vault.
    pub(crate) fn new(vault: Vault) -> VaultBackend {
        VaultBackend {
            vault,
            is_closed: Arc::default(),
        }
    }

    /// From now on nothing is written: tasks that a client has left behind cannot bring back an account that is forgotten.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    fn get(&self, table: Table, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.vault.get(table, key.as_ref())
    }

    fn get_as<T: DeserializeOwned>(
        &self,
        table: Table,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<T>> {
        self.get(table, key).as_deref().map(from_json).transpose()
    }

    /// Every row of a kind, read.
    fn all_as<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<T>> {
        let rows = self.vault.scan(table, b"");
        rows.iter().map(|(_, row)| from_json(&row.value)).collect()
    }

    async fn put(&self, table: Table, key: impl AsRef<[u8]>, value: Vec<u8>) -> Result<()> {
        let key = key.as_ref().to_vec();
        self.put_many(table, [(key, value)]).await
    }

    /// Writes a row that may be forgotten if the power goes now.
    fn put_later(&self, table: Table, key: impl AsRef<[u8]>, value: Vec<u8>) -> Result<()> {
        let row = Row {
            value,
            at: unix_seconds(),
        };
        let key = (table, key.as_ref().to_vec());
        self.change_later(|rows| {
            rows.insert(key, row);
        })
    }

    async fn put_as<T: Serialize>(
        &self,
        table: Table,
        key: impl AsRef<[u8]>,
        value: &T,
    ) -> Result<()> {
        self.put(table, key, to_json(value)?).await
    }

    async fn put_many(
        &self,
        table: Table,
        written: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<()> {
        let at = unix_seconds();
        self.change(|rows| {
            for (key, value) in written {
                rows.insert((table, key), Row { value, at });
            }
        })
        .await
    }

    async fn remove(&self, table: Table, key: impl AsRef<[u8]>) -> Result<()> {
        let key = (table, key.as_ref().to_vec());
        self.change(|rows| {
            rows.remove(&key);
        })
        .await
    }

    /// Drops rows of a kind for which this does not hold; answers how many. Writes nothing if there are none.
    async fn retain(&self, table: Table, keeps: impl Fn(&[u8], &Row) -> bool) -> Result<u32> {
        let kept = self.vault.scan(table, b"");
        let gone: Vec<Vec<u8>> = kept
            .into_iter()
            .filter(|(key, row)| !keeps(key, row))
            .map(|(key, _)| key)
            .collect();
        if gone.is_empty() {
            return Ok(0);
        }
        self.change(|rows| {
            let removed = gone
                .into_iter()
                .filter(|key| rows.remove(&(table, key.clone())).is_some())
                .count();
            u32::try_from(removed).unwrap_or(u32::MAX)
        })
        .await
    }

    async fn change<T>(&self, what: impl FnOnce(&mut Rows) -> T) -> Result<T> {
        self.check_open()?;
        self.vault.change(what).await.map_err(not_kept)
    }

    /// Changes what may be forgotten if the power goes now.
    fn change_later<T>(&self, what: impl FnOnce(&mut Rows) -> T) -> Result<T> {
        self.check_open()?;
        Ok(self.vault.change_later(what))
    }

    fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(not_kept(Arc::new(KeepError::Closed)));
        }
        Ok(())
    }
}

impl Addresses for VaultBackend {
    fn number_of(&self, hidden: &str) -> Option<String> {
        let mapping: LidPnMappingEntry = self.get_as(Table::LidMappings, hidden).ok()??;
        Some(mapping.phone_number)
    }
}

fn not_kept(refused: Arc<KeepError>) -> StoreError {
    StoreError::Database(Box::new(refused))
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Serialization(Box::new(error)))
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| StoreError::Serialization(Box::new(error)))
}

/// Parts of a key, with a byte between them that none of them holds.
fn joined(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}
