//! Decides whether an export is what the log held: every hash computed anew, every link followed, the whole compared with
//! its signed manifest.
//!
//! A [`Verifier`] takes an export event by event and keeps a few numbers a workspace. It wants the manifest first, because a
//! hash covers the tenant, which only the manifest names; [`verify_export`] reads a file twice for that. It names the first
//! seq at which something is wrong. It does not say which part of a changed event was changed: the hash covers them all, and
//! the file holds no second copy to compare with.
//!
//! Two things in an exported event are not covered by its hash: `region`, which is compared with the manifest, and `archived`,
//! which may change in an event's life.
//!
//! No I/O of its own: bytes come in as slices or through a reader that the caller opened.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    chain,
    checkpoint::{Checkpoint, NoteVerifier},
    event::{Event, Hash},
    export::{EXPORT_VERSION, Facts, Manifest, SeqRange},
    ids::{TenantId, WorkspaceId},
    position::Seq,
    region::Region,
    time::Timestamp,
};

mod exported;
mod fault;
mod file;
mod proof;

use exported::Exported;
pub use fault::{Fault, Place, Whereabouts};
pub use file::{FileError, Shape, verify_export};
pub use proof::{ProofBundle, ProofReport, verify_proof};

/// Checks an export as it is read. After the first fault it has nothing more to say.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// What the export says about itself; `None` if it was cut off before that.
    facts: Option<Facts>,
    key: Trust,
    workspaces: BTreeMap<WorkspaceId, Chain>,
    entries: u64,
    last: Option<Place>,
    digest: Sha256,
    gap: Option<Gap>,
}

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whose events they are.
    pub tenant: TenantId,
    /// Where they lived.
    pub region: Region,
    /// When the export was made.
    pub made_at: Timestamp,
    /// Number of events.
    pub count: u64,
    /// Whether no event is left out between the first and the last of each workspace.
    pub complete: bool,
    /// Whether the row limit left out events at the end.
    pub truncated_by_limit: bool,
    /// What is listed of each workspace.
    pub workspaces: Vec<SeqRange>,
    /// The key that signed, and whether it is one that the caller trusts.
    pub key: Trust,
}

/// Whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "trust", content = "key", rename_all = "snake_case")]
pub enum Trust {
    /// The key that the caller expected.
    Expected(String),
    /// The key that the file itself names: whoever made the file may have made the key.
    Stated(String),
}

/// What was seen of one workspace.
#[derive(Clone, Debug, Default)]
struct Chain {
    listed: Option<SeqRange>,
    last: Option<(Place, Hash)>,
    count: u64,
}

/// Seqs that were passed over. They are missing, unless they still come.
#[derive(Clone, Debug)]
struct Gap {
    workspace: WorkspaceId,
    from: Seq,
    to: Seq,
    /// The event that stands where `from` was expected.
    at: Place,
}

impl Verifier {
    /// Checks the manifest's signature and begins. Without an expected key the manifest's own is taken: that proves that
    /// the export was not changed by someone who lacks that key, and not who made it.
    ///
    /// `None` stands for an export without a manifest. Hashes cannot be computed then; links and order are checked, and
    /// [`Verifier::finish`] fails in any case.
    pub fn new(
        manifest: Option<Manifest>,
        expected: Option<&NoteVerifier>,
    ) -> Result<Verifier, Fault> {
        let (facts, key) = match manifest {
            Some(manifest) => {
                let key = check_manifest(&manifest, expected)?;
                (Some(manifest.facts), key)
            }
            None => (None, Trust::Stated(String::new())),
        };
        let listed = facts.iter().flat_map(|facts| &facts.workspaces);
        let workspaces = listed.map(|range| {
            let chain = Chain {
                listed: Some(*range),
                ..Chain::default()
            };
            (range.workspace, chain)
        });
        Ok(Verifier {
            workspaces: workspaces.collect(),
            facts,
            key,
            entries: 0,
            last: None,
            digest: Sha256::new(),
            gap: None,
        })
    }

    /// Checks the next event, given as the exact bytes of one JSON object.
    pub fn line(&mut self, event_json: &[u8]) -> Result<(), Fault> {
        self.entries += 1;
        let entry = self.entries;
        if let Some(gap) = &self.gap {
            return gap.look_for(entry, event_json);
        }
        let exported = Exported::parse(event_json).map_err(|reason| Fault::Unreadable {
            entry,
            at: exported::place(entry, event_json)
                .map_or_else(|| self.behind(), Whereabouts::Stated),
            reason,
        })?;
        let event = exported.event;
        let at = Place::of(entry, &event);
        if let Some(facts) = &self.facts {
            if chain::hash_event(facts.tenant, &event) != event.hash {
                let at = self.expected_place(at);
                return Err(Fault::HashMismatch { at });
            }
            let expected = facts.region;
            if exported.region != expected {
                return Err(Fault::WrongRegion { at, expected });
            }
        }
        self.check_order(at, &event)?;
        if self.gap.is_none() {
            self.digest.update(event.hash.0);
            self.last = Some(at);
            let chain = self.workspaces.entry(event.workspace).or_default();
            chain.last = Some((at, event.hash));
            chain.count += 1;
        }
        Ok(())
    }

    /// Checks that the export ends where it should, and answers what was verified.
    pub fn finish(self) -> Result<Report, Fault> {
        if let Some(gap) = self.gap {
            return Err(gap.missing());
        }
        let Some(facts) = self.facts else {
            return Err(Fault::NoManifest { after: self.last });
        };
        for range in &facts.workspaces {
            self.workspaces
                .get(&range.workspace)
                .map_or(Ok(()), |chain| chain.check_end(range))?;
        }
        let digest = Hash(self.digest.finalize().into());
        if self.entries != facts.count || digest != facts.digest {
            return Err(Fault::OtherEvents {
                expected: facts.count,
                found: self.entries,
            });
        }
        Ok(Report {
            tenant: facts.tenant,
            region: facts.region,
            made_at: facts.made_at,
            count: facts.count,
            complete: facts.complete,
            truncated_by_limit: facts.truncated_by_limit,
            workspaces: facts.workspaces,
            key: self.key,
        })
    }

    /// Number of events taken so far.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// Where the next entry stands.
    fn behind(&self) -> Whereabouts {
        self.last.map_or(Whereabouts::Unknown, Whereabouts::After)
    }

    fn is_complete(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.complete)
    }

    /// The place of a changed event: its own seq may be what was changed, so the seq that belongs here is named.
    fn expected_place(&self, at: Place) -> Place {
        let expected = self
            .workspaces
            .get(&at.workspace)
            .filter(|_| self.is_complete())
            .and_then(Chain::next_seq);
        Place {
            seq: expected.unwrap_or(at.seq),
            ..at
        }
    }

    /// Checks the event's place in its chain and in the export. Passed-over seqs become the gap, not yet a fault.
    fn check_order(&mut self, at: Place, event: &Event) -> Result<(), Fault> {
        let is_complete = self.is_complete();
        let nothing = Chain::default();
        let chain = self.workspaces.get(&at.workspace).unwrap_or(&nothing);
        if self.facts.is_some() {
            let is_listed = |range: SeqRange| (range.first_seq..=range.last_seq).contains(&at.seq);
            if !chain.listed.is_some_and(is_listed) {
                return Err(Fault::Unlisted { at });
            }
        }
        let (expected, is_first) = match (&chain.last, chain.listed) {
            (Some((last, _)), _) => (last.seq.next(), false),
            (None, Some(range)) => (range.first_seq, true),
            (None, None) => (at.seq, true),
        };
        if at.seq > expected && (is_complete || is_first) {
            self.gap = Some(Gap {
                workspace: at.workspace,
                from: expected,
                to: if is_complete { at.seq.prev() } else { expected },
                at,
            });
            return Ok(());
        }
        if let Some((last, hash)) = &chain.last {
            if at.seq == last.seq || (at.seq < last.seq && is_complete) {
                return Err(Fault::Duplicated { at });
            }
            if at.seq < last.seq {
                return Err(Fault::Moved { at, after: *last });
            }
            if at.seq == expected && event.prev_hash != *hash {
                return Err(Fault::BrokenLink { at });
            }
        }
        if at.seq == Seq::ZERO.next() && event.prev_hash != Hash::default() {
            return Err(Fault::BrokenLink { at });
        }
        match self.last {
            Some(last) if at.position == last.position => Err(Fault::Duplicated { at }),
            Some(after) if at.position < after.position => Err(Fault::Moved { at, after }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Chain {
    fn next_seq(&self) -> Option<Seq> {
        let after_last = self.last.as_ref().map(|(last, _)| last.seq.next());
        after_last.or(self.listed.map(|range| range.first_seq))
    }

    fn check_end(&self, range: &SeqRange) -> Result<(), Fault> {
        let workspace = range.workspace;
        let next = self.next_seq().unwrap_or(range.first_seq);
        if next <= range.last_seq {
            return Err(Fault::Truncated {
                workspace,
                from: next,
                to: range.last_seq,
            });
        }
        if self.count == range.count {
            return Ok(());
        }
        Err(Fault::WrongCount {
            workspace,
            expected: range.count,
            found: self.count,
        })
    }
}

impl Gap {
    /// Looks whether an event that was passed over stands further down.
    fn look_for(&self, entry: u64, event_json: &[u8]) -> Result<(), Fault> {
        match exported::place(entry, event_json) {
            Some(at) if at.workspace == self.workspace && at.seq == self.from => {
                Err(Fault::Moved { at, after: self.at })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn missing(self) -> Fault {
        Fault::Missing {
            workspace: self.workspace,
            from: self.from,
            to: self.to,
            before: self.at,
        }
    }
}

/// Checks that a manifest is signed, by the expected key if there is one, and that the note covers its facts.
fn check_manifest(manifest: &Manifest, expected: Option<&NoteVerifier>) -> Result<Trust, Fault> {
    let facts = &manifest.facts;
    if facts.version != EXPORT_VERSION {
        return Err(Fault::UnknownVersion(facts.version));
    }
    let (signed, trust) = open_note(&manifest.note, &manifest.key, expected)?;
    if signed != facts.checkpoint() {
        return Err(Fault::ForgedManifest);
    }
    check_signer(&trust, facts.region)?;
    Ok(trust)
}

/// Opens a note by the expected key, or else by the one that stands beside it.
fn open_note(
    note: &str,
    stated: &str,
    expected: Option<&NoteVerifier>,
) -> Result<(Checkpoint, Trust), Fault> {
    let verifier: NoteVerifier = match expected {
        Some(expected) if expected.to_string() == stated => expected.clone(),
        Some(expected) => {
            return Err(Fault::OtherKey {
                expected: expected.to_string(),
                stated: stated.to_owned(),
            });
        }
        None => stated.parse()?,
    };
    let signed = Checkpoint::parse_and_verify(note, &verifier)?;
    let trust = match expected {
        Some(_) => Trust::Expected(stated.to_owned()),
        None => Trust::Stated(stated.to_owned()),
    };
    Ok((signed, trust))
}

/// A key that signs for one region cannot sign for another, and a stated one must at least claim to be that region's.
fn check_signer(trust: &Trust, region: Region) -> Result<(), Fault> {
    let (Trust::Expected(key) | Trust::Stated(key)) = trust;
    let name = format!("trunkline/{region}");
    if key.split('+').next() == Some(name.as_str()) {
        Ok(())
    } else {
        Err(Fault::WrongSigner { name })
    }
}

#[cfg(test)]
mod tests;
