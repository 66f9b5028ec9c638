//! All that is kept of one account: rows in memory, written as one compressed blob to wherever they are kept.
//!
//! A change is answered when it is kept, because a ratchet that is forgotten after it was used breaks sessions. Changes that come
//! while one blob is being written share the next; so do those that nobody waits for. Knows nothing of what rows mean.

mod blob;
mod keep;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};
use tracing::{error, warn};

pub(crate) use blob::BadBlob;
pub(crate) use keep::{Keep, KeepError};

/// Kinds of rows. The numbers stand in blobs: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Table {
    /// The account itself.
    Account = 1,
    /// Identity keys of others.
    Identities = 2,
    /// Sessions with others' devices.
    Sessions = 3,
    /// Keys for sessions to come.
    PreKeys = 4,
    /// Signed keys for sessions to come.
    SignedPreKeys = 5,
    /// Keys of groups' senders.
    SenderKeys = 6,
    /// Which device has got a group's key.
    SenderKeyDevices = 7,
    /// Keys of the state that all devices of the account share.
    SyncKeys = 8,
    /// How far that state has been read.
    SyncVersions = 9,
    /// What was read of it.
    MutationMacs = 10,
    /// Numbers and the hidden names that stand for them.
    LidMappings = 11,
    /// What shows that a session was begun anew.
    BaseKeys = 12,
    /// Devices of others.
    DeviceLists = 13,
    /// What groups were like.
    GroupMetadata = 14,
    /// Tokens of contacts.
    TrustTokens = 15,
    /// Messages that may have to be sent again.
    SentMessages = 16,
    /// Messages that were decrypted, and that the engine has not got yet.
    PendingInbound = 17,
    /// Secrets of messages, for what refers to them.
    MessageSecrets = 18,
}

impl Table {
    /// Every kind, in the order of the numbers.
    pub(crate) const ALL: [Table; 18] = [
        Table::Account,
        Table::Identities,
        Table::Sessions,
        Table::PreKeys,
        Table::SignedPreKeys,
        Table::SenderKeys,
        Table::SenderKeyDevices,
        Table::SyncKeys,
        Table::SyncVersions,
        Table::MutationMacs,
        Table::LidMappings,
        Table::BaseKeys,
        Table::DeviceLists,
        Table::GroupMetadata,
        Table::TrustTokens,
        Table::SentMessages,
        Table::PendingInbound,
        Table::MessageSecrets,
    ];

    /// What it costs to drop rows of this kind.
    fn loss(self) -> Loss {
        match self {
            Table::SentMessages
            | Table::MessageSecrets
            | Table::GroupMetadata
            | Table::DeviceLists
            | Table::BaseKeys
            // Before the keys: who is thought to have a key that is gone would not get the next one.
            | Table::SenderKeyDevices => Loss::Convenience,
            Table::Sessions | Table::SenderKeys => Loss::Repetition,
            Table::Account
            | Table::Identities
            | Table::PreKeys
            | Table::SignedPreKeys
            | Table::SyncKeys
            | Table::SyncVersions
            | Table::MutationMacs
            | Table::LidMappings
            | Table::TrustTokens
            | Table::PendingInbound => Loss::Account,
        }
    }
}

/// What is lost with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// The network gives it again, or it is missed by what is very old.
    Convenience,
    /// A session that has not been used for long is begun anew, and the next message of it has to be sent twice.
    Repetition,
    /// More than the account could do without: it is never dropped.
    Account,
}

impl Loss {
    /// Kinds of loss that can be borne, the smaller one first.
    const BEARABLE: [Loss; 2] = [Loss::Convenience, Loss::Repetition];
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// What it holds.
    pub(crate) value: Vec<u8>,
    /// When it was written, in Unix seconds.
    pub(crate) at: i64,
}

pub(crate) type Rows = BTreeMap<(Table, Vec<u8>), Row>;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    rows: Mutex<State>,
    /// Told when there is something to write.
    changed: Notify,
    /// The last change that is kept, or why no more can be.
    kept: watch::Sender<Kept>,
}

struct State {
    rows: Rows,
    /// Counts changes.
    change: u64,
}

#[derive(Clone, Debug)]
enum Kept {
    UpTo(u64),
    Failed(Arc<KeepError>),
}

impl Vault {
    /// Reads what is kept. Nothing is written until [`Vault::run`] runs.
    pub(crate) fn open(blob: Option<&[u8]>) -> Result<Vault, BadBlob> {
        let rows = match blob {
            None => Rows::new(),
            Some(blob) => blob::read(blob)?,
        };
        let inner = Inner {
            rows: Mutex::new(State { rows, change: 0 }),
            changed: Notify::new(),
            kept: watch::Sender::new(Kept::UpTo(0)),
        };
        Ok(Vault {
            inner: Arc::new(inner),
        })
    }

    /// Writes changes to where they are kept, until that is refused for good.
    pub(crate) async fn run(&self, keep: Keep) -> Arc<KeepError> {
        loop {
            self.inner.changed.notified().await;
            let (change, blob) = self.blob(keep.bytes_max());
            match keep.save(blob).await {
                Ok(()) => {
                    self.inner.kept.send_replace(Kept::UpTo(change));
                }
                Err(refused) => {
                    error!("the account's keys cannot be kept any more: {refused}");
                    let refused = Arc::new(refused);
                    self.inner
                        .kept
                        .send_replace(Kept::Failed(Arc::clone(&refused)));
                    return refused;
                }
            }
        }
    }

    /// A row's value.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let state = self.state();
        let row = state.rows.get(&(table, key.to_vec()));
        row.map(|row| row.value.clone())
    }

    /// Every row of a kind whose key begins like this, in the order of keys.
    pub(crate) fn scan(&self, table: Table, prefix: &[u8]) -> Vec<(Vec<u8>, Row)> {
        let state = self.state();
        let from = (table, prefix.to_vec());
        let rows = state.rows.range(from..);
        rows.take_while(|((of, key), _)| *of == table && key.starts_with(prefix))
            .map(|((_, key), row)| (key.clone(), row.clone()))
            .collect()
    }

    /// Changes rows, all at once, and answers when that is kept.
    pub(crate) async fn change<T>(
        &self,
        what: impl FnOnce(&mut Rows) -> T,
    ) -> Result<T, Arc<KeepError>> {
        let changed = self.change_later(what);
        self.keep_all().await?;
        Ok(changed)
    }

    /// Changes rows, all at once. That is kept with the next change that is waited for: nothing breaks if it is forgotten.
    pub(crate) fn change_later<T>(&self, what: impl FnOnce(&mut Rows) -> T) -> T {
        let mut state = self.state();
        state.change += 1;
        what(&mut state.rows)
    }

    /// Waits until every change up to now is kept.
    pub(crate) async fn keep_all(&self) -> Result<(), Arc<KeepError>> {
        let change = self.state().change;
        let mut kept = self.inner.kept.subscribe();
        let is_known = |kept: &Kept| {
            matches!(kept, Kept::Failed(_)) || matches!(kept, Kept::UpTo(to) if *to >= change)
        };
        if !is_known(&kept.borrow()) {
            self.inner.changed.notify_one();
        }
        match kept.wait_for(is_known).await.as_deref() {
            Ok(Kept::UpTo(_)) => Ok(()),
            Ok(Kept::Failed(refused)) => Err(Arc::clone(refused)),
            Err(_closed) => Err(Arc::new(KeepError::Closed)),
        }
    }

    /// Everything as one blob, and the last change that is in it. What can be spared goes if it is too large.
    fn blob(&self, bytes_max: usize) -> (u64, Vec<u8>) {
        let mut state = self.state();
        loop {
            let blob = blob::write(&state.rows);
            if blob.len() <= bytes_max || !spare(&mut state.rows) {
                return (state.change, blob);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the older half of the rows whose loss is the smallest. False if there is nothing that may be dropped.
fn spare(rows: &mut Rows) -> bool {
    let mut losses = Loss::BEARABLE.into_iter();
    losses.any(|loss| spare_half(rows, loss))
}

fn spare_half(rows: &mut Rows, loss: Loss) -> bool {
    let mut ages: Vec<i64> = rows
        .iter()
        .filter(|((table, _), _)| table.loss() == loss)
        .map(|(_, row)| row.at)
        .collect();
    if ages.is_empty() {
        return false;
    }
    ages.sort_unstable();
    let last = ages[(ages.len() - 1) / 2];
    let before = rows.len();
    rows.retain(|(table, _), row| table.loss() != loss || row.at > last);
    warn!(
        dropped = before - rows.len(),
        loss = ?loss,
        "the account has grown too large to be kept: its oldest rows that it can do without are dropped"
    );
    true
}

#[cfg(test)]
mod tests;
