//! Checks that one event is in a signed log: the bundle that `GET /v1/events/{id}/proof` answers.
//!
//! Needs no other event: the event's hash, a path of a few hashes, and a signed checkpoint.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Exported, Fault, Place, Trust, check_signer, open_note};
use crate::{
    chain,
    checkpoint::{Checkpoint, NoteVerifier},
    event::{Event, Hash},
    ids::{EventId, TenantId},
    merkle::verify_inclusion,
    region::Region,
};

/// An event with what proves that it is in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProofBundle {
    /// The event as exports hold it, seed included.
    pub event: Box<RawValue>,
    /// Its leaf in the workspace's tree, counted from 0.
    pub leaf_index: u64,
    /// The number of leaves of the tree that the path is for.
    pub tree_size: u64,
    /// RFC 6962 inclusion path, from the leaf up.
    pub path: Vec<Hash>,
    /// The signed checkpoint of that tree.
    pub checkpoint: String,
    /// The verifier key of the region that signed it.
    pub key: String,
}

/// What a proof proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProofReport {
    /// The event.
    pub event: EventId,
    /// Whose event it is.
    pub tenant: TenantId,
    /// Which signed tree it is in.
    pub origin: String,
    /// The number of events in that tree.
    pub tree_size: u64,
    /// The key that signed, and whether it is one that the caller trusts.
    pub key: Trust,
}

impl ProofBundle {
    /// Puts a bundle together. `checkpoint` is the signed note over a tree of `tree_size` leaves.
    pub fn new(
        event: &Event,
        region: Region,
        tree_size: u64,
        path: Vec<Hash>,
        (checkpoint, key): (String, &NoteVerifier),
    ) -> ProofBundle {
        let mut json = Vec::new();
        event.write_json_with_seed(region, &mut json);
        let text = String::from_utf8(json).expect("events are JSON, which is UTF-8");
        ProofBundle {
            event: RawValue::from_string(text).expect("events are written as JSON"),
            leaf_index: event.seq.prev().get(),
            tree_size,
            path,
            checkpoint,
            key: key.to_string(),
        }
    }
}

/// Verifies a bundle, bare or as the API answers it (`{"data":…}`).
pub fn verify_proof(json: &[u8], expected: Option<&NoteVerifier>) -> Result<ProofReport, Fault> {
    #[derive(Deserialize)]
    struct Answer {
        data: ProofBundle,
    }
    let bad = |reason: String| Fault::BadProof { reason };
    let bundle: ProofBundle = match serde_json::from_slice::<Answer>(json) {
        Ok(answer) => answer.data,
        Err(_bare) => serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?,
    };
    let Exported { event, region } = Exported::parse(bundle.event.get().as_bytes()).map_err(bad)?;
    let (signed, key) = open_note(&bundle.checkpoint, &bundle.key, expected)?;
    check_signer(&key, region)?;
    let tenant = tenant_in(&signed.origin)
        .ok_or_else(|| bad(format!("`{}` names no tenant", signed.origin)))?;
    if signed.origin != Checkpoint::origin(region, tenant, event.workspace) {
        return Err(bad("the checkpoint is one of another log".to_owned()));
    }
    if signed.size != bundle.tree_size || bundle.leaf_index != event.seq.prev().get() {
        let reason = "leaf index or tree size are not those of the event and the checkpoint";
        return Err(bad(reason.to_owned()));
    }
    let at = Place::of(1, &event);
    let hash = chain::hash_event(tenant, &event);
    if hash != event.hash {
        return Err(Fault::HashMismatch { at });
    }
    let ProofBundle {
        leaf_index, path, ..
    } = bundle;
    if !verify_inclusion(&hash, leaf_index, signed.size, &path, &signed.root) {
        return Err(Fault::NotIncluded { at });
    }
    Ok(ProofReport {
        event: event.id,
        tenant,
        origin: signed.origin,
        tree_size: signed.size,
        key,
    })
}

/// The tenant that the origin of a checkpoint names: `trunkline/{REGION}/{tenant}/{workspace}`.
fn tenant_in(origin: &str) -> Option<TenantId> {
    origin.split('/').nth(2)?.parse().ok()
}
