//! What an export looks like, and the signed manifest that ends it.
//!
//! An export lists events in the order of their positions, each as [`Event::write_json_with_seed`] writes it, and then a
//! manifest. As NDJSON every event is a line and the last line is `{"manifest":{…}}`; as JSON the whole is
//! `{"data":[event,…],"meta":{"manifest":{…}}}`.
//!
//! A manifest is `{"facts":{…},"key":"…","note":"…"}`. Its note is a signed checkpoint (see [`crate::checkpoint`]) whose
//! origin is `trunkline/export/{REGION}/{tenant}`, whose size is the number of events and whose root is the SHA-256 of the
//! facts as JSON without white space, their members in the order of [`Facts`]. So the signature covers every fact, and through
//! `digest` every event and their order.
//!
//! Takes events as they come and remembers two numbers a workspace. Does not check any: that is [`crate::verify`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    checkpoint::{Checkpoint, NoteSigner},
    event::{Event, Hash},
    ids::{TenantId, WorkspaceId},
    position::Seq,
    region::Region,
    time::Timestamp,
};

/// The version of the format that this code writes and reads.
pub const EXPORT_VERSION: u32 = 1;

/// How the events of an export are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// Whether an export leaves out events between the first and the last that it lists of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// It leaves out none: a missing seq is a fault.
    Complete,
    /// A filter leaves out some.
    Filtered,
}

/// What an export states about itself, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What is stated.
    pub facts: Facts,
    /// The verifier key of the region that signed.
    pub key: String,
    /// The signed note over the facts.
    pub note: String,
}

/// The facts about an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// [`EXPORT_VERSION`].
    pub version: u32,
    /// Whose events they are.
    pub tenant: TenantId,
    /// Where they live.
    pub region: Region,
    /// When the export ended.
    pub made_at: Timestamp,
    /// Number of events.
    pub count: u64,
    /// Whether no event is left out between the first and the last of each workspace.
    pub complete: bool,
    /// Whether there were more events than the row limit allowed.
    pub truncated_by_limit: bool,
    /// The row limit, if there was one.
    pub row_limit: Option<u64>,
    /// SHA-256 over the events' hashes (32 bytes each), in order.
    pub digest: Hash,
    /// What is listed of each workspace, by id.
    pub workspaces: Vec<SeqRange>,
}

/// What an export lists of one workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeqRange {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Seq of the first event listed.
    pub first_seq: Seq,
    /// Seq of the last event listed.
    pub last_seq: Seq,
    /// Number of events listed.
    pub count: u64,
}

/// Gathers the facts while an export is written.
#[derive(Clone, Debug)]
pub struct ManifestBuilder {
    facts: Facts,
    workspaces: BTreeMap<WorkspaceId, SeqRange>,
    digest: Sha256,
}

/// Writes an export piece by piece, manifest included.
#[derive(Clone, Debug)]
pub struct ExportWriter {
    format: ExportFormat,
    manifest: ManifestBuilder,
}

impl Manifest {
    /// The origin of the notes that sign a tenant's exports.
    pub fn origin(region: Region, tenant: TenantId) -> String {
        format!("trunkline/export/{region}/{tenant}")
    }
}

impl Facts {
    /// What a manifest's note says about these facts.
    pub fn checkpoint(&self) -> Checkpoint {
        let json = serde_json::to_vec(self).expect("facts always have a JSON form");
        Checkpoint {
            origin: Manifest::origin(self.region, self.tenant),
            size: self.count,
            root: Hash(Sha256::digest(json).into()),
        }
    }
}

impl ManifestBuilder {
    /// Begins an export of a tenant's events.
    pub fn new(tenant: TenantId, region: Region, coverage: Coverage) -> ManifestBuilder {
        ManifestBuilder {
            facts: Facts {
                version: EXPORT_VERSION,
                tenant,
                region,
                made_at: Timestamp::default(),
                count: 0,
                complete: coverage == Coverage::Complete,
                truncated_by_limit: false,
                row_limit: None,
                digest: Hash::default(),
                workspaces: Vec::new(),
            },
            workspaces: BTreeMap::new(),
            digest: Sha256::new(),
        }
    }

    /// Says how many events the export may list.
    #[must_use]
    pub fn with_row_limit(mut self, limit: Option<u64>) -> ManifestBuilder {
        self.facts.row_limit = limit;
        self
    }

    /// Takes the next event that was written. Events come in the order of their positions.
    pub fn add(&mut self, event: &Event) {
        self.digest.update(event.hash.0);
        self.facts.count += 1;
        let range = self
            .workspaces
            .entry(event.workspace)
            .or_insert_with(|| SeqRange {
                workspace: event.workspace,
                first_seq: event.seq,
                last_seq: event.seq,
                count: 0,
            });
        range.last_seq = event.seq;
        range.count += 1;
    }

    /// Number of events so far.
    pub const fn count(&self) -> u64 {
        self.facts.count
    }

    /// Notes that the row limit left out events at the end.
    pub const fn cut(&mut self) {
        self.facts.truncated_by_limit = true;
    }

    /// States and signs the facts.
    pub fn finish(self, signer: &NoteSigner, made_at: Timestamp) -> Manifest {
        let facts = Facts {
            made_at,
            digest: Hash(self.digest.finalize().into()),
            workspaces: self.workspaces.into_values().collect(),
            ..self.facts
        };
        Manifest {
            key: signer.verifier().to_string(),
            note: facts.checkpoint().sign(signer),
            facts,
        }
    }
}

impl ExportWriter {
    /// Begins an export: appends what stands before its first event.
    pub fn begin(
        format: ExportFormat,
        manifest: ManifestBuilder,
        out: &mut Vec<u8>,
    ) -> ExportWriter {
        match format {
            ExportFormat::Json => out.extend_from_slice(b"{\"data\":["),
            ExportFormat::Ndjson => {}
        }
        ExportWriter { format, manifest }
    }

    /// Appends an event.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let is_first = self.manifest.count() == 0;
        match self.format {
            ExportFormat::Json if is_first => out.push(b'\n'),
            ExportFormat::Json => out.extend_from_slice(b",\n"),
            ExportFormat::Ndjson => {}
        }
        event.write_json_with_seed(self.manifest.facts.region, out);
        match self.format {
            ExportFormat::Json => {}
            ExportFormat::Ndjson => out.push(b'\n'),
        }
        self.manifest.add(event);
    }

    /// Number of events so far.
    pub const fn count(&self) -> u64 {
        self.manifest.count()
    }

    /// Notes that the row limit left out events at the end.
    pub const fn cut(&mut self) {
        self.manifest.cut();
    }

    /// Ends the export: appends the signed manifest and what stands behind it.
    pub fn end(self, signer: &NoteSigner, made_at: Timestamp, out: &mut Vec<u8>) {
        let manifest = self.manifest.finish(signer, made_at);
        let manifest = serde_json::to_vec(&manifest).expect("a manifest always has a JSON form");
        let (before, behind): (&[u8], &[u8]) = match self.format {
            ExportFormat::Json => (b"\n],\"meta\":{\"manifest\":", b"}}\n"),
            ExportFormat::Ndjson => (b"{\"manifest\":", b"}\n"),
        };
        out.extend_from_slice(before);
        out.extend_from_slice(&manifest);
        out.extend_from_slice(behind);
    }
}
