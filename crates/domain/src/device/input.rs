//! Reads what an owner says about a device and checks it.
//!
//! Finds every mistake of a body at once, each with its JSON pointer. Whether the workspace exists is looked up later.

use serde_json::{Map, Value};

use super::{CONNECTOR_LENGTH_MAX, NAME_LENGTH_MAX, SETTINGS_LENGTH_MAX};
use crate::{
    mistakes::{Mistakes, members},
    new_event::{InputError, WorkspaceRef, escaped},
};

/// The connector of a device whose owner names none.
pub const CONNECTOR_DEFAULT: &str = "gateway";
/// The settings of a device whose owner gives none.
const SETTINGS_DEFAULT: &str = "{}";

const EXPECTED: &str = "expected name, connector, workspace or settings";

/// A device as its owner wishes it: complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInput {
    /// What its owner calls it.
    pub name: String,
    /// What connects it: `gateway`, `mqtt` or a connector's name.
    pub connector: String,
    /// The workspace that its events go to; the key's or the tenant's default if none is named.
    pub workspace: Option<WorkspaceRef>,
    /// For the connector: one JSON object, as text.
    pub settings: String,
}

/// What of a device shall change; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePatch {
    /// What its owner calls it.
    pub name: Option<String>,
    /// What connects it.
    pub connector: Option<String>,
    /// The workspace that its events go to from now on.
    pub workspace: Option<WorkspaceRef>,
    /// For the connector: one JSON object, as text.
    pub settings: Option<String>,
}

impl DeviceInput {
    /// Reads the body of POST: `name` must be there, what else is left out or `null` has its default.
    pub fn parse(body: &[u8]) -> Result<DeviceInput, Vec<InputError>> {
        let mut reading = Reading::default();
        let mut members = members(body)?;
        // For a new device `null` is the same as leaving it out; only a change has something to go back to.
        members.retain(|name, value| name == "name" || !value.is_null());
        let patch = reading.patch(&members);
        if patch.name.is_none() && !members.contains_key("name") {
            reading.mistakes.wrong("/name", "the name is missing");
        }
        reading.mistakes.end(DeviceInput {
            name: patch.name.unwrap_or_default(),
            connector: patch
                .connector
                .unwrap_or_else(|| CONNECTOR_DEFAULT.to_owned()),
            workspace: patch.workspace,
            settings: patch
                .settings
                .unwrap_or_else(|| SETTINGS_DEFAULT.to_owned()),
        })
    }
}

impl DevicePatch {
    /// Reads the body of PATCH: `null` brings the default of `connector` and `settings` back.
    pub fn parse(body: &[u8]) -> Result<DevicePatch, Vec<InputError>> {
        let mut reading = Reading::default();
        let patch = reading.patch(&members(body)?);
        reading.mistakes.end(patch)
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == DevicePatch::default()
    }
}

/// Reads the members one by one.
#[derive(Default)]
struct Reading {
    mistakes: Mistakes,
}

impl Reading {
    fn patch(&mut self, members: &Map<String, Value>) -> DevicePatch {
        let mut patch = DevicePatch::default();
        for (name, value) in members {
            let pointer = format!("/{}", escaped(name));
            match name.as_str() {
                "name" => patch.name = self.name(pointer, value),
                "connector" => patch.connector = self.connector(pointer, value),
                "workspace" => patch.workspace = self.workspace(pointer, value),
                "settings" => patch.settings = self.settings(pointer, value),
                _ => self.mistakes.unknown(pointer, EXPECTED),
            }
        }
        patch
    }

    fn name(&mut self, pointer: String, value: &Value) -> Option<String> {
        let is_name = |text: &&str| {
            (1..=NAME_LENGTH_MAX).contains(&text.chars().count())
                && !text.trim().is_empty()
                && !text.chars().any(char::is_control)
        };
        let name = value.as_str().filter(is_name).map(str::to_owned);
        if name.is_none() {
            let detail = format!(
                "expected a text of 1 to {NAME_LENGTH_MAX} characters, none of them a control character"
            );
            self.mistakes.wrong(pointer, detail);
        }
        name
    }

    fn connector(&mut self, pointer: String, value: &Value) -> Option<String> {
        if value.is_null() {
            return Some(CONNECTOR_DEFAULT.to_owned());
        }
        let is_connector = |text: &&str| {
            (1..=CONNECTOR_LENGTH_MAX).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        let connector = value.as_str().filter(is_connector).map(str::to_owned);
        if connector.is_none() {
            let detail = format!(
                "expected gateway, mqtt or the name of a connector: 1 to {CONNECTOR_LENGTH_MAX} of a-z 0-9 _ -"
            );
            self.mistakes.wrong(pointer, detail);
        }
        connector
    }

    fn workspace(&mut self, pointer: String, value: &Value) -> Option<WorkspaceRef> {
        let workspace = value.as_str().and_then(WorkspaceRef::parse);
        if workspace.is_none() {
            self.mistakes
                .wrong(pointer, "expected the id (ws_…) or the slug of a workspace");
        }
        workspace
    }

    fn settings(&mut self, pointer: String, value: &Value) -> Option<String> {
        if value.is_null() {
            return Some(SETTINGS_DEFAULT.to_owned());
        }
        let settings = value.is_object().then(|| value.to_string());
        let settings = settings.filter(|text| text.len() <= SETTINGS_LENGTH_MAX);
        if settings.is_none() {
            let detail = format!("expected a JSON object of at most {SETTINGS_LENGTH_MAX} bytes");
            self.mistakes.wrong(pointer, detail);
        }
        settings
    }
}
