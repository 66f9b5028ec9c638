//! Signs what webhooks receive, as Standard Webhooks says, and checks such signatures.
//!
//! Knows nothing of HTTP: callers put the texts into headers. Which secrets sign during a rotation is
//! [`crate::webhook::Webhook::secrets`]'s answer.

use std::{fmt, time::Duration};

use base64::{
    Engine as _,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::time::Timestamp;

/// How far a signed timestamp may be from now.
pub const TOLERANCE: Duration = Duration::from_mins(5);

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";
/// Reads base64 with and without padding, because people copy secrets in both forms.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The secret of a webhook: `whsec_` and the base64 of 24 to 64 bytes. Hidden in `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct WebhookSecret {
    bytes: Zeroizing<Vec<u8>>,
    /// The HMAC with the key already in it: keying costs as much as signing a short body.
    keyed: Hmac<Sha256>,
}

/// Why a text is no secret. Says nothing about the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a webhook secret: expected whsec_ followed by the base64 of 24 to 64 bytes")]
pub struct WebhookSecretError;

/// The three headers of a Standard Webhooks delivery.
#[derive(Clone, Copy, Debug)]
pub struct SignedHeaders<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`: seconds since 1970.
    pub timestamp: &'a str,
    /// `webhook-signature`: signatures joined by blanks.
    pub signature: &'a str,
}

/// Why a delivery is not genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The timestamp is no number.
    #[error("the timestamp is not a number of seconds")]
    Timestamp,
    /// The timestamp is too far from now: an old delivery sent again, or a wrong clock.
    #[error("the timestamp is more than five minutes from now")]
    TimestampTooFar,
    /// No signature was made with one of the secrets over this id, timestamp and body.
    #[error("no signature matches")]
    NoMatch,
}

impl WebhookSecret {
    /// A new secret of 32 random bytes.
    pub fn from_random(random: &[u8; 32]) -> WebhookSecret {
        WebhookSecret::from_bytes(Zeroizing::new(random.to_vec()))
    }

    /// Takes a secret that somebody chose.
    pub fn parse(text: &str) -> Result<WebhookSecret, WebhookSecretError> {
        let base64 = text.strip_prefix(PREFIX).ok_or(WebhookSecretError)?;
        let bytes = LENIENT
            .decode(base64)
            .map_err(|_not_base64| WebhookSecretError)?;
        let bytes = Zeroizing::new(bytes);
        if !(24..=64).contains(&bytes.len()) {
            return Err(WebhookSecretError);
        }
        Ok(WebhookSecret::from_bytes(bytes))
    }

    /// The secret as text, to be shown once to its owner or sealed for the store.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 88));
        text.push_str(PREFIX);
        STANDARD.encode_string(&*self.bytes, &mut text);
        text
    }

    /// One signature for the `webhook-signature` header: `v1,` and the base64 of an HMAC-SHA-256.
    pub fn sign(&self, id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
        let mut signature = String::with_capacity(VERSION.len() + 44);
        self.sign_into(id, timestamp_seconds, body, &mut signature);
        signature
    }

    /// The hex HMAC-SHA-256 of the body alone, for `X-Trunkline-Signature`. Keyed with the decoded bytes of the secret.
    pub fn body_hmac_hex(&self, body: &[u8]) -> String {
        let mut mac = self.keyed.clone();
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> WebhookSecret {
        let keyed = Hmac::new_from_slice(&bytes).expect("an HMAC key may have any length");
        WebhookSecret { bytes, keyed }
    }

    fn sign_into(&self, id: &str, timestamp_seconds: i64, body: &[u8], out: &mut String) {
        let mut digits = itoa::Buffer::new();
        let mac = self.mac(id, digits.format(timestamp_seconds), body);
        out.push_str(VERSION);
        STANDARD.encode_string(mac, out);
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// The whole `webhook-signature` header: one signature a secret, joined by blanks.
pub fn sign_all<'a>(
    secrets: impl IntoIterator<Item = &'a WebhookSecret>,
    id: &str,
    timestamp_seconds: i64,
    body: &[u8],
) -> String {
    let mut header = String::with_capacity(96);
    for secret in secrets {
        if !header.is_empty() {
            header.push(' ');
        }
        secret.sign_into(id, timestamp_seconds, body, &mut header);
    }
    header
}

/// Checks a delivery as its receiver should: the timestamp is near now, and one of the signatures is right.
pub fn verify(
    secret: &WebhookSecret,
    headers: SignedHeaders<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let seconds: i64 = headers
        .timestamp
        .parse()
        .map_err(|_not_a_number| SignatureError::Timestamp)?;
    if seconds.abs_diff(now.unix_seconds()) > TOLERANCE.as_secs() {
        return Err(SignatureError::TimestampTooFar);
    }
    // The header's own text is signed, so that a number written in another way cannot pass for it.
    let wanted = secret.mac(headers.id, headers.timestamp, body);
    let is_genuine = headers
        .signature
        .split(' ')
        .filter_map(|signature| LENIENT.decode(signature.strip_prefix(VERSION)?).ok())
        .any(|signature| bool::from(signature.ct_eq(&wanted)));
    if is_genuine {
        Ok(())
    } else {
        Err(SignatureError::NoMatch)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl PartialEq for WebhookSecret {
    fn eq(&self, other: &WebhookSecret) -> bool {
        self.bytes.ct_eq(&other.bytes).into()
    }
}

impl Eq for WebhookSecret {}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret() -> WebhookSecret {
        WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn headers(signature: &str) -> SignedHeaders<'_> {
        SignedHeaders {
            id: ID,
            timestamp: "1614265330",
            signature,
        }
    }

    #[test]
    fn the_signature_is_that_of_the_reference() {
        assert_eq!(secret().sign(ID, TIME, BODY), SIGNATURE);
    }

    #[test]
    fn every_secret_signs() {
        let other = WebhookSecret::from_random(&[7; 32]);
        let header = sign_all([&other, &secret()], ID, TIME, BODY);
        assert_eq!(
            header,
            format!("{} {SIGNATURE}", other.sign(ID, TIME, BODY))
        );
        assert_eq!(verify(&secret(), headers(&header), BODY, at(TIME)), Ok(()));
        assert_eq!(verify(&other, headers(&header), BODY, at(TIME)), Ok(()));
    }

    #[test]
    fn a_changed_delivery_is_not_genuine() {
        let check = |signature, body: &[u8]| verify(&secret(), headers(signature), body, at(TIME));
        assert_eq!(check(SIGNATURE, BODY), Ok(()));
        assert_eq!(check(SIGNATURE, b"{}"), Err(SignatureError::NoMatch));
        for bad in [
            "",
            "v1",
            "v1,",
            "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "v1,!",
        ] {
            assert_eq!(check(bad, BODY), Err(SignatureError::NoMatch), "{bad}");
        }
    }

    #[test]
    fn a_timestamp_has_five_minutes() {
        let check = |now| verify(&secret(), headers(SIGNATURE), BODY, at(now));
        assert_eq!(check(TIME + 300), Ok(()));
        assert_eq!(check(TIME - 300), Ok(()));
        assert_eq!(check(TIME + 301), Err(SignatureError::TimestampTooFar));
        assert_eq!(check(TIME - 301), Err(SignatureError::TimestampTooFar));
        let headers = SignedHeaders {
            timestamp: "soon",
            ..headers(SIGNATURE)
        };
        assert_eq!(
            verify(&secret(), headers, BODY, at(TIME)),
            Err(SignatureError::Timestamp)
        );
    }

    #[test]
    fn a_secret_reads_back_from_what_it_shows() {
        let made = WebhookSecret::from_random(&[7; 32]);
        assert_eq!(WebhookSecret::parse(&made.reveal()).unwrap(), made);
        assert_eq!(*secret().reveal(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(format!("{made:?}"), "WebhookSecret(…)");
    }

    #[test]
    fn secrets_of_another_form_are_refused() {
        let base64 = |length: usize| STANDARD.encode(vec![1_u8; length]);
        assert!(WebhookSecret::parse(&format!("whsec_{}", base64(24))).is_ok());
        assert!(WebhookSecret::parse(&format!("whsec_{}", base64(64))).is_ok());
        for bad in [
            "secret".to_owned(),
            base64(32),
            format!("whsec_{}", base64(23)),
            format!("whsec_{}", base64(65)),
            "whsec_?".to_owned(),
        ] {
            assert_eq!(WebhookSecret::parse(&bad), Err(WebhookSecretError), "{bad}");
        }
    }

    #[test]
    fn the_body_alone_is_signed_with_the_decoded_secret() {
        // Test case 2 of RFC 4231 has a short key; zeros behind it are the same HMAC key.
        let mut key = b"Jefe".to_vec();
        key.resize(32, 0);
        let secret = WebhookSecret::parse(&format!("whsec_{}", STANDARD.encode(&key))).unwrap();
        assert_eq!(
            secret.body_hmac_hex(b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
