//! Privacy settings of a device, as the API names them.
//!
//! What a network calls them is the connector's business.

use serde::{Deserialize, Serialize};

use crate::new_event::{InputCode, InputError};

/// Privacy settings: those that are set, or those that shall be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacySettings {
    /// Who learns that a message was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readreceipts: Option<ReadReceipts>,
    /// Who sees that the device is online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<OnlineSeenBy>,
    /// Who sees when it was last online.
    #[serde(default, rename = "lastSeen", skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Circle>,
    /// Who may add it to groups.
    #[serde(default, rename = "groupAdd", skip_serializing_if = "Option::is_none")]
    pub group_add: Option<Circle>,
    /// Who sees its status.
    #[serde(
        default,
        rename = "statusPrivacy",
        skip_serializing_if = "Option::is_none"
    )]
    pub status_privacy: Option<Circle>,
}

/// Who learns that a message was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadReceipts {
    /// Everybody.
    All,
    /// Nobody.
    None,
}

/// Who sees that a device is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnlineSeenBy {
    /// Everybody.
    All,
    /// Those who see when it was last online.
    Matches,
}

/// A circle of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Circle {
    /// Everybody.
    All,
    /// The device's contacts.
    Contacts,
    /// Nobody.
    None,
}

impl PrivacySettings {
    /// Reads an update: at least one setting, nothing else.
    pub fn parse_update(body: &[u8]) -> Result<PrivacySettings, InputError> {
        let settings: PrivacySettings =
            serde_json::from_slice(body).map_err(|error| InputError {
                code: InputCode::of(&error),
                pointer: String::new(),
                detail: error.to_string(),
            })?;
        if settings == PrivacySettings::default() {
            return Err(InputError {
                code: InputCode::InvalidField,
                pointer: String::new(),
                detail: "expected at least one of readreceipts, online, lastSeen, groupAdd and statusPrivacy"
                    .to_owned(),
            });
        }
        Ok(settings)
    }
}
