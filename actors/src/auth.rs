//! Who calls: keys found by their hash, remembered for a short while.
//!
//! Decides whether a key may be used at all (known, not expired, not revoked, from an allowed address). What it may be used
//! for is decided where it is used. Holds no key's text.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{
    clock::Clock,
    ids::{KeyId, TenantId},
    key::{ApiKey, KeyHash, KeyPepper, KeyRecord, KeyRefusal},
    time::Timestamp,
};
use parking_lot::Mutex;
use store::{
    StoreError,
    control::{Control, Tenant},
};

use crate::recent::Recent;

/// How long a key is remembered before the control plane is asked again.
const REMEMBER_FOR: Duration = Duration::from_secs(10);
/// Keys remembered, known and unknown.
const REMEMBER_MAX: usize = 16_384;

/// A caller with a usable key.
#[derive(Debug)]
pub struct Caller {
    /// Its key.
    pub key: KeyRecord,
    /// Whose key.
    pub tenant: Tenant,
    last_used_at: AtomicI64,
}

/// Why a key is of no use.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No such key, or not the form of one.
    #[error("the key is not known")]
    Invalid,
    /// It has expired.
    #[error("the key has expired")]
    Expired,
    /// It was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// Not from this address.
    #[error("the key may not be used from {0}")]
    IpNotAllowed(IpAddr),
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    Suspended,
    /// The control plane does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finds callers by their keys.
pub struct Authenticator {
    control: Control,
    pepper: KeyPepper,
    clock: Clock,
    /// Callers by the hashes of their keys; `None` for a key that does not exist.
    remembered: Mutex<Recent<KeyHash, Option<Arc<Caller>>>>,
}

impl Authenticator {
    /// An authenticator that remembers nobody yet.
    pub fn new(control: Control, pepper: KeyPepper, clock: Clock) -> Authenticator {
        Authenticator {
            control,
            pepper,
            clock,
            remembered: Mutex::new(Recent::new(REMEMBER_FOR, REMEMBER_MAX)),
        }
    }

    /// The hash under which a key's text is kept.
    pub fn hash(&self, key: &str) -> KeyHash {
        self.pepper.hash(key)
    }

    /// Finds the caller with this key, who calls from `ip`.
    pub async fn authenticate(&self, key: &str, ip: IpAddr) -> Result<Arc<Caller>, AuthError> {
        if ApiKey::parse(key).is_err() {
            return Err(AuthError::Invalid);
        }
        self.authenticate_hash(self.pepper.hash(key), ip).await
    }

    /// Finds the caller by the hash of the key, for connections that outlive the request that they began with.
    pub async fn authenticate_hash(
        &self,
        hash: KeyHash,
        ip: IpAddr,
    ) -> Result<Arc<Caller>, AuthError> {
        let now = self.clock.now();
        let remembered = self.remembered.lock().get(&hash, now).cloned();
        let caller = match remembered {
            Some(caller) => caller,
            None => self.look_up(hash, now).await?,
        };
        let caller = caller.ok_or(AuthError::Invalid)?;
        caller.key.check(now, ip).map_err(|refusal| match refusal {
            KeyRefusal::Expired => AuthError::Expired,
            KeyRefusal::Revoked => AuthError::Revoked,
            KeyRefusal::IpNotAllowed => AuthError::IpNotAllowed(ip),
        })?;
        if caller.tenant.suspended {
            return Err(AuthError::Suspended);
        }
        caller.last_used_at.store(now.micros(), Ordering::Relaxed);
        Ok(caller)
    }

    async fn look_up(
        &self,
        hash: KeyHash,
        now: Timestamp,
    ) -> Result<Option<Arc<Caller>>, StoreError> {
        let caller = self.control.key_by_hash(&hash).await?.map(|(key, tenant)| {
            Arc::new(Caller {
                key,
                tenant,
                last_used_at: AtomicI64::new(0),
            })
        });
        self.remembered.lock().insert(hash, caller.clone(), now);
        Ok(caller)
    }

    /// Forgets a tenant's keys, because one of them, or the tenant, was changed.
    pub fn forget(&self, tenant: TenantId) {
        self.remembered.lock().retain(|caller, _| {
            caller
                .as_ref()
                .is_some_and(|caller| caller.tenant.id != tenant)
        });
    }

    /// Forgets everybody: what was changed elsewhere may not have been heard of.
    pub(crate) fn forget_all(&self) {
        self.remembered.lock().retain(|_, _| false);
    }

    /// Forgets keys that nobody used for a while: who is idle costs nothing.
    pub(crate) fn sweep(&self) {
        self.remembered.lock().sweep(self.clock.now());
    }

    /// When keys were used last, for those used since `since`.
    pub fn used_since(&self, since: Timestamp) -> Vec<(KeyId, Timestamp)> {
        let remembered = self.remembered.lock();
        remembered
            .values()
            .filter_map(Option::as_ref)
            .map(|caller| {
                let micros = caller.last_used_at.load(Ordering::Relaxed);
                (caller.key.id, Timestamp::from_micros(micros))
            })
            .filter(|(_, used_at)| *used_at >= since)
            .collect()
    }
}
