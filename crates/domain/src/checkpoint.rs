//! Checkpoints: signed statements that a workspace's tree has a size and a root (C2SP `tlog-checkpoint`).
//!
//! Decides how a checkpoint is written and read, and whether a new one may be signed after the last ([`SignDecision`]).
//! Does not remember what was signed last: the caller keeps that outside of the database.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    event::Hash,
    ids::{TenantId, WorkspaceId},
    merkle::verify_consistency,
    region::Region,
};

mod note;

pub use note::{NoteError, NoteSigner, NoteVerifier};

/// What a checkpoint states. A signed one is a note of three lines: origin, size, root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the tree, such as `trunkline/AU/ten_…/ws_…`.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

/// Whether a checkpoint may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignDecision {
    /// It continues, or repeats, what was signed last.
    Sign,
    /// Signing it would state two histories.
    Refuse(Disagreement),
}

/// How a checkpoint disagrees with the last signed one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// The tree lost leaves.
    #[error("{size} events are fewer than the {last} that were signed before")]
    Shrunk {
        /// The size that was to be signed.
        size: u64,
        /// The last signed size.
        last: u64,
    },
    /// The same leaves cannot have another root.
    #[error("the root over the {size} events is not the one that was signed before")]
    Changed {
        /// The size of both.
        size: u64,
    },
    /// The first leaves are not those that were signed.
    #[error("the first {last} of {size} events are not those that were signed before")]
    Inconsistent {
        /// The size that was to be signed.
        size: u64,
        /// The last signed size.
        last: u64,
    },
}

impl Checkpoint {
    /// The origin of a workspace's checkpoints.
    pub fn origin(region: Region, tenant: TenantId, workspace: WorkspaceId) -> String {
        format!("trunkline/{region}/{tenant}/{workspace}")
    }

    /// Writes and signs the checkpoint.
    pub fn sign(&self, signer: &NoteSigner) -> String {
        let Checkpoint { origin, size, root } = self;
        let root = STANDARD.encode(root.0);
        signer.sign(&format!("{origin}\n{size}\n{root}\n"))
    }

    /// Reads a signed checkpoint and checks the signature. Lines after the third are extensions that we do not know; they
    /// are covered by the signature and otherwise ignored.
    pub fn parse_and_verify(note: &str, verifier: &NoteVerifier) -> Result<Checkpoint, NoteError> {
        let text = verifier.open(note)?;
        Checkpoint::parse(text).ok_or(NoteError::NoCheckpoint)
    }

    fn parse(text: &str) -> Option<Checkpoint> {
        let mut lines = text.split('\n');
        let (origin, digits, root) = (lines.next()?, lines.next()?, lines.next()?);
        let size: u64 = digits.parse().ok()?;
        let root: [u8; 32] = STANDARD.decode(root).ok()?.try_into().ok()?;
        // `parse` takes a plus sign and leading zeros, a checkpoint does not.
        let is_canonical = size.to_string() == digits && !origin.is_empty();
        is_canonical.then(|| Checkpoint {
            origin: origin.to_owned(),
            size,
            root: Hash(root),
        })
    }
}

impl SignDecision {
    /// Decides whether `new` may be signed after `last`, the size and root signed before for the same origin.
    /// `consistency` is the proof from the last size to the new one; it is empty where none is needed.
    pub fn decide(
        last: Option<(u64, Hash)>,
        new: &Checkpoint,
        consistency: &[Hash],
    ) -> SignDecision {
        let Some((last, last_root)) = last else {
            return SignDecision::Sign;
        };
        let size = new.size;
        let refuse = SignDecision::Refuse;
        if size < last {
            refuse(Disagreement::Shrunk { size, last })
        } else if size == last && new.root != last_root {
            refuse(Disagreement::Changed { size })
        } else if size > last && !verify_consistency(last, &last_root, size, &new.root, consistency)
        {
            refuse(Disagreement::Inconsistent { size, last })
        } else {
            SignDecision::Sign
        }
    }
}

#[cfg(test)]
mod tests;
