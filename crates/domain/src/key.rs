//! API keys: how they look, how they are kept, and when one may be used.
//!
//! Does not find a key and does not decide what it may do: that is the store's look-up by hash, and
//! [`crate::permission`].

use std::{fmt, net::IpAddr, str::FromStr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use ipnet::IpNet;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    ids::{KeyId, TenantId, WorkspaceId},
    permission::Permissions,
    plan::Tier,
    time::Timestamp,
};

/// The longest tenant part of a key, in bytes.
pub const TENANT_PART_LENGTH_MAX: usize = 40;
/// How many hex digits of the secret [`ApiKey::prefix`] shows.
const SHOWN_DIGITS: usize = 8;
const SECRET_DIGITS: usize = 64;

/// A whole API key, `ak_<tenant>_<64 hex>`. Hidden in `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct ApiKey {
    text: Zeroizing<String>,
    tenant_length: usize,
}

/// Why a text is no API key. Says nothing about the text, which may be somebody's secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key: expected ak_<tenant>_<64 hex digits>")]
pub struct ApiKeyError;

/// The server's secret that API keys are hashed under.
#[derive(Clone)]
pub struct KeyPepper {
    keyed: Hmac<Sha256>,
}

/// What is kept of an API key. Compared in constant time.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

/// What is known of a key, besides its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Public id.
    pub id: KeyId,
    /// Whose key it is.
    pub tenant: TenantId,
    /// The workspace that it is confined to.
    pub workspace: Option<WorkspaceId>,
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// How many requests a minute it may make.
    pub tier: Tier,
    /// From where it may be used; empty for everywhere.
    pub ip_allow: Vec<IpNet>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// Set when it was rotated: usable until then.
    pub grace_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it begins, for people to recognise it.
    pub prefix: String,
    /// Grows with every change.
    pub version: i64,
    /// When it was last used, as far as that was written down.
    pub last_used_at: Option<Timestamp>,
}

/// Why a known key may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
    /// It was revoked, or rotated and its grace period is over.
    #[error("the key has been revoked")]
    Revoked,
    /// The request came from elsewhere.
    #[error("the key may not be used from this address")]
    IpNotAllowed,
}

impl ApiKey {
    /// Makes a key of 32 random bytes. `tenant` is the tenant's slug.
    pub fn make(tenant: &str, random: &[u8; 32]) -> Result<ApiKey, ApiKeyError> {
        let digits = Zeroizing::new(hex::encode(random));
        let text = Zeroizing::new(format!("ak_{tenant}_{}", *digits));
        ApiKey::parse(&text)
    }

    /// Takes a text that has the form of a key. Whether there is such a key, only its hash can tell.
    pub fn parse(text: &str) -> Result<ApiKey, ApiKeyError> {
        let (tenant, secret) = text
            .strip_prefix("ak_")
            .and_then(|rest| rest.split_once('_'))
            .ok_or(ApiKeyError)?;
        let is_slug = (1..=TENANT_PART_LENGTH_MAX).contains(&tenant.len())
            && tenant
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let is_hex = secret.len() == SECRET_DIGITS
            && secret
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_slug || !is_hex {
            return Err(ApiKeyError);
        }
        Ok(ApiKey {
            text: Zeroizing::new(text.to_owned()),
            tenant_length: tenant.len(),
        })
    }

    /// The whole key, to be shown once to its owner.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The tenant's slug that the key names.
    pub fn tenant(&self) -> &str {
        &self.text["ak_".len()..][..self.tenant_length]
    }

    /// How the key begins: enough to recognise it in a list, far too little to use it.
    pub fn prefix(&self) -> &str {
        &self.text[.."ak__".len() + self.tenant_length + SHOWN_DIGITS]
    }
}

impl KeyPepper {
    /// Takes 32 secret bytes.
    pub fn new(pepper: &[u8; 32]) -> KeyPepper {
        KeyPepper {
            keyed: Hmac::new_from_slice(pepper).expect("an HMAC key may have any length"),
        }
    }

    /// The HMAC-SHA-256 of the whole text of a key.
    pub fn hash(&self, key: &str) -> KeyHash {
        let mut mac = self.keyed.clone();
        mac.update(key.as_bytes());
        KeyHash(mac.finalize().into_bytes().into())
    }
}

impl KeyHash {
    /// Wraps the 32 bytes that a store keeps.
    pub const fn from_bytes(bytes: [u8; 32]) -> KeyHash {
        KeyHash(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl KeyRecord {
    /// When the key ends by itself: its time is over, or that which it was given when it was rotated.
    pub fn ends_at(&self) -> Option<Timestamp> {
        match (self.expires_at, self.grace_until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Says whether the key may be used now, from this address.
    ///
    /// An IPv4 address that comes mapped into IPv6, as dual-stack sockets show it, is the IPv4 address.
    pub fn check(&self, now: Timestamp, ip: IpAddr) -> Result<(), KeyRefusal> {
        let is_past = |moment: Option<Timestamp>| moment.is_some_and(|moment| now >= moment);
        if is_past(self.revoked_at) || is_past(self.grace_until) {
            return Err(KeyRefusal::Revoked);
        }
        if is_past(self.expires_at) {
            return Err(KeyRefusal::Expired);
        }
        let ip = ip.to_canonical();
        let is_allowed = self.ip_allow.is_empty()
            || self
                .ip_allow
                .iter()
                .any(|net| canonical(*net).contains(&ip));
        if is_allowed {
            Ok(())
        } else {
            Err(KeyRefusal::IpNotAllowed)
        }
    }
}

/// The IPv4 network that an IPv4-mapped IPv6 network stands for; any other network as it is.
pub fn canonical(net: IpNet) -> IpNet {
    let mapped = match net {
        IpNet::V4(_) => None,
        IpNet::V6(v6) => v6
            .network()
            .to_ipv4_mapped()
            .zip(v6.prefix_len().checked_sub(96)),
    };
    mapped
        .and_then(|(network, length)| IpNet::new(network.into(), length).ok())
        .unwrap_or(net)
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}…)", self.prefix())
    }
}

impl fmt::Debug for KeyPepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPepper(…)")
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &KeyHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl std::hash::Hash for KeyHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// A text that is not the hash of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the hash of a key: expected 64 hex digits")]
pub struct KeyHashError;

impl FromStr for KeyHash {
    type Err = KeyHashError;

    fn from_str(text: &str) -> Result<KeyHash, KeyHashError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_not_hex| KeyHashError)?;
        Ok(KeyHash(bytes))
    }
}

#[cfg(test)]
mod tests;
