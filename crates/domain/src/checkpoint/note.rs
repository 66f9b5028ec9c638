//! Signed notes as C2SP `signed-note` defines them, with Ed25519 keys.
//!
//! A note is a text of whole lines, an empty line, and signature lines `— name base64(key id ‖ signature)`. Knows nothing
//! of what the text says.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// The byte that stands for Ed25519 in key ids and verifier keys.
const ALGORITHM: u8 = 0x01;
/// What a signature line begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";
/// The longest note that is read, in bytes.
const NOTE_LENGTH_MAX: usize = 1 << 20;
/// The most signature lines that are looked at.
const SIGNATURES_MAX: usize = 100;

/// Why a note, or a key for notes, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no signed note.
    #[error("not a signed note")]
    Malformed,
    /// Nobody signed it whom we know.
    #[error("the note is not signed by {name}")]
    Unsigned {
        /// The name of the key that was expected.
        name: String,
    },
    /// The key's signature is not one over this text.
    #[error("the signature of {name} is wrong: the text was changed")]
    WrongSignature {
        /// The name of the key.
        name: String,
    },
    /// It is signed, but its text is no checkpoint.
    #[error("the signed text is no checkpoint")]
    NoCheckpoint,
    /// It is no verifier key.
    #[error("not a verifier key: expected name+hash+key")]
    NoKey,
}

/// Signs notes in a name.
#[derive(Clone)]
pub struct NoteSigner {
    name: String,
    id: [u8; 4],
    key: SigningKey,
}

/// Checks notes signed in a name. Its text form is the verifier key `name+hex(key id)+base64(0x01 ‖ public key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl NoteSigner {
    /// A signer from 32 secret bytes.
    ///
    /// # Panics
    /// If `name` is empty or holds white space or a plus sign, which notes have no room for.
    pub fn new(name: impl Into<String>, secret: &[u8; 32]) -> NoteSigner {
        let name = name.into();
        assert!(
            is_name(&name),
            "names of keys hold no white space and no plus"
        );
        let key = SigningKey::from_bytes(secret);
        NoteSigner {
            id: key_id(&name, &key.verifying_key()),
            name,
            key,
        }
    }

    /// Signs `text`, which must end with a line feed, and answers the whole note.
    pub fn sign(&self, text: &str) -> String {
        debug_assert!(text.ends_with('\n'), "a note consists of whole lines");
        let mut signature = self.id.to_vec();
        signature.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        let (name, signature) = (&self.name, STANDARD.encode(signature));
        format!("{text}\n{DASH}{name} {signature}\n")
    }

    /// The name in which it signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What others need to check its signatures.
    pub fn verifier(&self) -> NoteVerifier {
        NoteVerifier {
            name: self.name.clone(),
            id: self.id,
            key: self.key.verifying_key(),
        }
    }
}

impl NoteVerifier {
    /// The name in which the key signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks that the key signed `note` and answers the signed text. Signatures by others are ignored.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let is_plain = |c: char| c == '\n' || !c.is_control();
        if note.len() > NOTE_LENGTH_MAX || !note.chars().all(is_plain) {
            return Err(NoteError::Malformed);
        }
        // The last empty line parts text and signatures: the text may hold empty lines of its own.
        let parting = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, signatures) = (&note[..=parting], &note[parting + 2..]);
        let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let mut is_signed = false;
        for (count, line) in signatures.split('\n').enumerate() {
            let (name, bytes) = signature_line(line).ok_or(NoteError::Malformed)?;
            if count >= SIGNATURES_MAX {
                return Err(NoteError::Malformed);
            }
            if name != self.name || bytes[..4] != self.id {
                continue;
            }
            self.check(text, &bytes[4..])?;
            is_signed = true;
        }
        if is_signed {
            Ok(text)
        } else {
            Err(NoteError::Unsigned {
                name: self.name.clone(),
            })
        }
    }

    fn check(&self, text: &str, signature: &[u8]) -> Result<(), NoteError> {
        Signature::from_slice(signature)
            .and_then(|signature| self.key.verify_strict(text.as_bytes(), &signature))
            .map_err(|_wrong| NoteError::WrongSignature {
                name: self.name.clone(),
            })
    }
}

impl FromStr for NoteVerifier {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<NoteVerifier, NoteError> {
        // Base64 may hold plus signs, so only the first two part the fields.
        let mut fields = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(NoteError::NoKey);
        };
        let bytes = STANDARD
            .decode(key)
            .map_err(|_not_base64| NoteError::NoKey)?;
        let [ALGORITHM, public @ ..] = bytes.as_slice() else {
            return Err(NoteError::NoKey);
        };
        let key = <&[u8; 32]>::try_from(public)
            .ok()
            .and_then(|public| VerifyingKey::from_bytes(public).ok())
            .ok_or(NoteError::NoKey)?;
        let expected = key_id(name, &key);
        if !is_name(name) || id != hex::encode(expected) {
            return Err(NoteError::NoKey);
        }
        Ok(NoteVerifier {
            name: name.to_owned(),
            id: expected,
            key,
        })
    }
}

impl fmt::Display for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ALGORITHM];
        key.extend_from_slice(self.key.as_bytes());
        let (id, key) = (hex::encode(self.id), STANDARD.encode(key));
        write!(f, "{}+{id}+{key}", self.name)
    }
}

impl fmt::Debug for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteVerifier({self})")
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.name)
    }
}

/// Name, and key id with signature, of one line. At least a key id and one more byte.
fn signature_line(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
    let bytes = STANDARD.decode(signature).ok()?;
    (is_name(name) && bytes.len() > 4).then_some((name, bytes))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

/// The first four bytes of `SHA-256(name ‖ "\n" ‖ 0x01 ‖ public key)`.
fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', ALGORITHM]);
    hasher.update(key.as_bytes());
    let hash = hasher.finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}
