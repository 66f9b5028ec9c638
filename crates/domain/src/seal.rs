//! Secrets at rest: the master key, the tenants' keys that it wraps, and what these seal.
//!
//! A sealed text is `base64( 0x01 ‖ nonce (24) ‖ XChaCha20-Poly1305 ciphertext )`. The associated data names what it is for,
//! so that a sealed text put into another place does not open there:
//!
//! - a wrapped tenant key: `trunkline/tenant-key/1`, a zero byte, the 16 bytes of the tenant's id, under a key derived from
//!   the master key;
//! - anything else: `trunkline/seal/1`, a zero byte, the purpose, under the tenant's key.
//!
//! Nonces are random: with 24 bytes two never meet. Decides nothing about who may open what.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use hmac::{Hmac, Mac as _};
use rand::Rng as _;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::ids::TenantId;

const VERSION: u8 = 1;
const NONCE_LENGTH: usize = 24;
const PURPOSE_WRAP: &str = "trunkline/wrap/1";

/// The key from which everything secret is derived, or under which it is sealed. Wiped from memory when dropped.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// The key under which one tenant's secrets are sealed. Wiped from memory when dropped.
#[derive(Clone)]
pub struct TenantKey(Zeroizing<[u8; 32]>);

/// Why a sealed text does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is no sealed text at all.
    #[error("not a sealed text")]
    Malformed,
    /// A newer version wrote it.
    #[error("a sealed text of version {0}, which this program does not know")]
    UnknownVersion(u8),
    /// Another key, another place, or changed.
    #[error("the sealed text was made under another key or for another purpose, or was changed")]
    Refused,
}

/// A text that is no master key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a master key: expected 64 hex digits")]
pub struct MasterKeyError;

impl MasterKey {
    /// Makes a new one from the system's randomness.
    pub fn generate() -> MasterKey {
        MasterKey(random())
    }

    /// Reads 64 hex digits.
    pub fn parse(text: &str) -> Result<MasterKey, MasterKeyError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(text.trim(), key.as_mut_slice()).map_err(|_not_hex| MasterKeyError)?;
        Ok(MasterKey(key))
    }

    /// The 64 hex digits, for the file in which the first start keeps it.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0.as_slice()))
    }

    /// A key of its own for `purpose`: `HMAC-SHA-256(master key, purpose)`.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice())
            .expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Seals a tenant's key for the store.
    pub fn wrap(&self, key: &TenantKey, tenant: TenantId) -> String {
        seal(
            &self.wrapping_key(),
            &tenant_key_data(tenant),
            key.0.as_slice(),
        )
    }

    /// Opens what [`MasterKey::wrap`] sealed for the same tenant.
    pub fn unwrap_key(&self, wrapped: &str, tenant: TenantId) -> Result<TenantKey, SealError> {
        let plain = open(&self.wrapping_key(), &tenant_key_data(tenant), wrapped)?;
        let bytes =
            <[u8; 32]>::try_from(plain.as_slice()).map_err(|_length| SealError::Malformed)?;
        Ok(TenantKey(Zeroizing::new(bytes)))
    }

    fn wrapping_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.derive(PURPOSE_WRAP))
    }
}

impl TenantKey {
    /// Makes a new one from the system's randomness.
    pub fn generate() -> TenantKey {
        TenantKey(random())
    }

    /// Seals `plain`. It opens for the same purpose only.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> String {
        seal(&self.0, &purpose_data(purpose), plain)
    }

    /// Opens what [`TenantKey::seal`] sealed for the same purpose.
    pub fn open(&self, purpose: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        open(&self.0, &purpose_data(purpose), sealed)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantKey(…)")
    }
}

fn tenant_key_data(tenant: TenantId) -> Vec<u8> {
    [b"trunkline/tenant-key/1\0".as_slice(), tenant.as_bytes()].concat()
}

fn purpose_data(purpose: &str) -> Vec<u8> {
    [b"trunkline/seal/1\0", purpose.as_bytes()].concat()
}

fn random<const LENGTH: usize>() -> Zeroizing<[u8; LENGTH]> {
    let mut bytes = Zeroizing::new([0_u8; LENGTH]);
    rand::rng().fill_bytes(bytes.as_mut_slice());
    bytes
}

fn seal(key: &[u8; 32], data: &[u8], plain: &[u8]) -> String {
    let nonce = random::<NONCE_LENGTH>();
    let payload = Payload {
        msg: plain,
        aad: data,
    };
    let ciphertext = XChaCha20Poly1305::new(&Key::from(*key))
        .encrypt(&XNonce::from(*nonce), payload)
        .expect("only texts of more than 256 GiB cannot be encrypted");
    let sealed = [[VERSION].as_slice(), nonce.as_slice(), &ciphertext].concat();
    STANDARD.encode(sealed)
}

fn open(key: &[u8; 32], data: &[u8], sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let bytes = STANDARD
        .decode(sealed)
        .map_err(|_not_base64| SealError::Malformed)?;
    let (version, rest) = bytes.split_first().ok_or(SealError::Malformed)?;
    if *version != VERSION {
        return Err(SealError::UnknownVersion(*version));
    }
    let (nonce, ciphertext) = rest
        .split_first_chunk::<NONCE_LENGTH>()
        .ok_or(SealError::Malformed)?;
    let payload = Payload {
        msg: ciphertext,
        aad: data,
    };
    XChaCha20Poly1305::new(&Key::from(*key))
        .decrypt(&XNonce::from(*nonce), payload)
        .map(Zeroizing::new)
        .map_err(|_refused| SealError::Refused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_master_key_reads_back_and_hides_itself() {
        let key = MasterKey::generate();
        let again = MasterKey::parse(&format!("{}\n", *key.to_hex())).unwrap();
        assert_eq!(again.derive("a"), key.derive("a"));
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
        assert!(MasterKey::parse("00").is_err());
        assert!(MasterKey::parse(&"g".repeat(64)).is_err());
    }

    #[test]
    fn derivation_is_plain_hmac() {
        let key = MasterKey::parse(&"0b".repeat(32)).unwrap();
        // The same as `printf 'Hi There' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0b…0b` (32 bytes of 0b).
        assert_eq!(
            hex::encode(key.derive("Hi There")),
            "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
        );
    }

    #[test]
    fn a_wrapped_key_opens_for_its_tenant_and_master_only() {
        let (master, key) = (MasterKey::generate(), TenantKey::generate());
        let wrapped = master.wrap(&key, tenant(1));
        let opened = master.unwrap_key(&wrapped, tenant(1)).unwrap();
        let sealed = key.seal("p", b"secret");
        assert_eq!(*opened.open("p", &sealed).unwrap(), b"secret");
        let refused = |result: Result<TenantKey, SealError>| result.map(drop).unwrap_err();
        assert_eq!(
            refused(master.unwrap_key(&wrapped, tenant(2))),
            SealError::Refused
        );
        let other = MasterKey::generate();
        assert_eq!(
            refused(other.unwrap_key(&wrapped, tenant(1))),
            SealError::Refused
        );
    }

    #[test]
    fn a_sealed_text_says_why_it_does_not_open() {
        let key = TenantKey::generate();
        assert_eq!(key.open("p", "§"), Err(SealError::Malformed));
        assert_eq!(key.open("p", ""), Err(SealError::Malformed));
        assert_eq!(key.open("p", "AQAA"), Err(SealError::Malformed));
        assert_eq!(key.open("p", "AgAA"), Err(SealError::UnknownVersion(2)));
        assert_eq!(key.open("q", &key.seal("p", b"")), Err(SealError::Refused));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_what_was_changed_does_not(
            plain: Vec<u8>,
            purpose: String,
            at: prop::sample::Index,
            change in 1_u8..=255,
        ) {
            let key = TenantKey::generate();
            let sealed = key.seal(&purpose, &plain);
            prop_assert_ne!(&sealed, &key.seal(&purpose, &plain));
            prop_assert_eq!(&*key.open(&purpose, &sealed).unwrap(), &plain);
            let mut bytes = STANDARD.decode(sealed).unwrap();
            let place = at.index(bytes.len());
            bytes[place] ^= change;
            prop_assert!(key.open(&purpose, &STANDARD.encode(bytes)).is_err());
        }
    }
}
