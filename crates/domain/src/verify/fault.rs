//! What can be wrong with an export or a proof, and where.

use std::fmt;

use crate::{
    checkpoint::NoteError,
    event::Event,
    ids::WorkspaceId,
    position::{Position, Seq},
    region::Region,
};

/// Where an event stands in an export and in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which event of the export it is, counted from 1. In an NDJSON export this is its line.
    pub entry: u64,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its place in the workspace's chain.
    pub seq: Seq,
    /// Its place in the tenant's log.
    pub position: Position,
}

/// What is known of the place of an entry that is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It says so itself.
    Stated(Place),
    /// It stands behind this event.
    After(Place),
    /// It is the first entry, and says nothing.
    Unknown,
}

/// Why an export, or a proof, does not verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An entry is not an event as exports hold it.
    #[error("{}: not an exported event: {reason}", unreadable_place(*entry, at))]
    Unreadable {
        /// Which entry, counted from 1.
        entry: u64,
        /// Where it stands.
        at: Whereabouts,
        /// What is wrong.
        reason: String,
    },
    /// The event was changed.
    #[error("{at}: the hash does not match the content: the event was changed")]
    HashMismatch {
        /// The event.
        at: Place,
    },
    /// The event follows another event than the one before it.
    #[error("{at}: prev_hash is not the hash of the event before it: the chain is broken")]
    BrokenLink {
        /// The event whose link is broken.
        at: Place,
    },
    /// Events are not there.
    #[error("seq {} of {workspace} is missing before {before}", span(*from, *to))]
    Missing {
        /// Whose events.
        workspace: WorkspaceId,
        /// The first that is not there.
        from: Seq,
        /// The last that is not there.
        to: Seq,
        /// What stands in their place.
        before: Place,
    },
    /// An event is not at its place.
    #[error("{at}: stands after {after}: the order was changed")]
    Moved {
        /// The event.
        at: Place,
        /// The event after which it stands, and should not.
        after: Place,
    },
    /// An event is there twice.
    #[error("{at}: is there a second time")]
    Duplicated {
        /// The second of the two.
        at: Place,
    },
    /// The manifest knows nothing of an event.
    #[error("{at}: the manifest lists no such event")]
    Unlisted {
        /// The event.
        at: Place,
    },
    /// An event claims to live elsewhere than the export says.
    #[error("{at}: the region is not {expected}")]
    WrongRegion {
        /// The event.
        at: Place,
        /// The region that the manifest names.
        expected: Region,
    },
    /// The last events of a workspace are not there.
    #[error("seq {} of {workspace} is missing at the end: the export was truncated", span(*from, *to))]
    Truncated {
        /// Whose events.
        workspace: WorkspaceId,
        /// The first that is not there.
        from: Seq,
        /// The last seq that the manifest lists.
        to: Seq,
    },
    /// A filtered export has more or fewer events than it says.
    #[error("the manifest lists {expected} events of {workspace}, the export holds {found}")]
    WrongCount {
        /// The workspace.
        workspace: WorkspaceId,
        /// What the manifest says.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// The events are not those that were signed.
    #[error("the {found} events are not the {expected} that the manifest was signed for")]
    OtherEvents {
        /// How many the manifest was signed for.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// The export ends without its manifest.
    #[error("the manifest is missing: the export was truncated{}", after_place(after.as_ref()))]
    NoManifest {
        /// The last event that is there.
        after: Option<Place>,
    },
    /// The manifest cannot be read.
    #[error("the manifest cannot be read: {reason}")]
    BadManifest {
        /// What is wrong.
        reason: String,
    },
    /// Something follows the manifest.
    #[error("entry {entry}: stands after the manifest, which ends an export")]
    AfterManifest {
        /// Which entry, counted from 1, the manifest among them.
        entry: u64,
    },
    /// A newer program made the export.
    #[error("the export is of version {0}, which this program does not know")]
    UnknownVersion(u32),
    /// The facts are not those that were signed.
    #[error("the facts of the manifest are not those that were signed: the manifest was changed")]
    ForgedManifest,
    /// Signed by a key that is not the expected one.
    #[error("signed by {stated}, expected {expected}")]
    OtherKey {
        /// The key that the caller trusts.
        expected: String,
        /// The key that the file names.
        stated: String,
    },
    /// The key signs for something else.
    #[error("the key that signed is not one of {name}")]
    WrongSigner {
        /// The name that the key should have.
        name: String,
    },
    /// The signature, or the key, is wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A proof is not one as the API answers it.
    #[error("not a proof: {reason}")]
    BadProof {
        /// What is wrong.
        reason: String,
    },
    /// The event is not in the tree of the checkpoint.
    #[error(
        "{at}: the path does not lead to the root of the checkpoint: the event is not in the signed log"
    )]
    NotIncluded {
        /// The event.
        at: Place,
    },
}

impl Fault {
    /// The workspace and the first seq at which something is wrong, if the fault concerns one event. Of an entry that cannot
    /// be read this is what should come next in the chain of the event before it.
    pub fn first_bad(&self) -> Option<(WorkspaceId, Seq)> {
        match self {
            Fault::HashMismatch { at }
            | Fault::BrokenLink { at }
            | Fault::Moved { at, .. }
            | Fault::Duplicated { at }
            | Fault::Unlisted { at }
            | Fault::WrongRegion { at, .. }
            | Fault::NotIncluded { at } => Some((at.workspace, at.seq)),
            Fault::Unreadable { at, .. } => match at {
                Whereabouts::Stated(at) => Some((at.workspace, at.seq)),
                Whereabouts::After(last) => Some((last.workspace, last.seq.next())),
                Whereabouts::Unknown => None,
            },
            Fault::Missing {
                workspace, from, ..
            }
            | Fault::Truncated {
                workspace, from, ..
            } => Some((*workspace, *from)),
            Fault::NoManifest { after } => after.map(|after| (after.workspace, after.seq.next())),
            Fault::WrongCount { .. }
            | Fault::OtherEvents { .. }
            | Fault::BadManifest { .. }
            | Fault::AfterManifest { .. }
            | Fault::UnknownVersion(_)
            | Fault::ForgedManifest
            | Fault::OtherKey { .. }
            | Fault::WrongSigner { .. }
            | Fault::Note(_)
            | Fault::BadProof { .. } => None,
        }
    }
}

impl Place {
    pub(super) fn of(entry: u64, event: &Event) -> Place {
        Place {
            entry,
            workspace: event.workspace,
            seq: event.seq,
            position: event.position,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            entry,
            workspace,
            seq,
            position,
        } = self;
        write!(
            f,
            "seq {seq} of {workspace} (position {position}, entry {entry})"
        )
    }
}

fn unreadable_place(entry: u64, at: &Whereabouts) -> String {
    match at {
        Whereabouts::Stated(at) => at.to_string(),
        Whereabouts::After(last) => format!("entry {entry}, after {last}"),
        Whereabouts::Unknown => format!("entry {entry}"),
    }
}

fn after_place(after: Option<&Place>) -> String {
    after.map_or_else(String::new, |after| format!(" after {after}"))
}

fn span(from: Seq, to: Seq) -> String {
    if from == to {
        from.to_string()
    } else {
        format!("{from} to {to}")
    }
}
