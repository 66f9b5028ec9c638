//! What a key may do.
//!
//! Names the permissions and answers whether a set of them allows something; who is asking was decided before.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// One thing that a key may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $($(#[$doc])* $name,)*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Permission] = &[$(Permission::$name,)*];

            /// The permission as text, `area:action`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Permission::$name => $text,)*
                }
            }
        }
    };
}

permissions! {
    /// Read events: list, get, tail, inbox, proofs.
    EventsRead = "events:read";
    /// Send events.
    EventsWrite = "events:write";
    /// Export events and read archives.
    EventsExport = "events:export";
    /// Acknowledge events and move consumers.
    EventsAck = "events:ack";
    /// See webhooks, deliveries and dead letters.
    WebhooksRead = "webhooks:read";
    /// Create, change, test, pause, replay and delete webhooks.
    WebhooksManage = "webhooks:manage";
    /// See keys (never their secrets).
    KeysRead = "keys:read";
    /// Create, change, rotate and revoke keys.
    KeysManage = "keys:manage";
    /// See workspaces, templates and checkpoints.
    WorkspacesRead = "workspaces:read";
    /// Create, change and delete workspaces and templates.
    WorkspacesManage = "workspaces:manage";
    /// See devices.
    DevicesRead = "devices:read";
    /// Create, change, disconnect and delete devices, their groups and settings.
    DevicesManage = "devices:manage";
    /// Connect as a device's gateway.
    DevicesConnect = "devices:connect";
    /// Send messages through a device.
    DevicesSend = "devices:send";
    /// See meters and alerts.
    UsageRead = "usage:read";
    /// Create and delete alerts.
    UsageManage = "usage:manage";
    /// See the audit log.
    AuditRead = "audit:read";
}

/// What one entry of a key's list gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// `*`: everything, also what later versions add.
    All,
    /// `area:*`: everything in one area, also what later versions add.
    Area(&'static str),
    /// One permission.
    One(Permission),
}

/// What a key may do: a list of grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Permissions {
    /// Sorted, each once.
    grants: Vec<Grant>,
    /// One bit for each permission that some grant gives.
    bits: u32,
}

/// A text that is no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a permission: expected *, an area such as events:*, or one of {}",
    names()
)]
pub struct PermissionError {
    /// Which one of the list, from 0.
    pub index: usize,
    /// What it says, shortened.
    pub text: String,
}

impl Permission {
    /// What stands before the colon.
    pub fn area(self) -> &'static str {
        self.name()
            .split_once(':')
            .map_or(self.name(), |(area, _action)| area)
    }

    const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

impl Grant {
    fn bits(self) -> u32 {
        Permission::ALL
            .iter()
            .filter(|permission| match self {
                Grant::All => true,
                Grant::Area(area) => permission.area() == area,
                Grant::One(one) => **permission == one,
            })
            .fold(0, |bits, permission| bits | permission.bit())
    }
}

impl Permissions {
    /// Everything.
    pub fn all() -> Permissions {
        Permissions::new([Grant::All])
    }

    /// A set from grants.
    pub fn new(grants: impl IntoIterator<Item = Grant>) -> Permissions {
        let mut grants: Vec<Grant> = grants.into_iter().collect();
        grants.sort_unstable();
        grants.dedup();
        let bits = grants.iter().fold(0, |bits, grant| bits | grant.bits());
        Permissions { grants, bits }
    }

    /// Reads one grant a text.
    pub fn parse_each<'a>(
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Permissions, PermissionError> {
        let grants: Result<Vec<Grant>, PermissionError> = texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| {
                text.parse()
                    .map_err(|wrong: PermissionError| PermissionError { index, ..wrong })
            })
            .collect();
        grants.map(Permissions::new)
    }

    /// Says whether this set gives a permission.
    pub const fn allow(&self, permission: Permission) -> bool {
        self.bits & permission.bit() != 0
    }

    /// Says whether everything that `other` gives, now or in later versions, this set gives too. A key must not make
    /// keys that may do more than it may itself.
    pub fn covers(&self, other: &Permissions) -> bool {
        other.grants.iter().all(|grant| {
            self.grants.contains(&Grant::All)
                || match *grant {
                    Grant::All => false,
                    Grant::Area(_) => self.grants.contains(grant),
                    Grant::One(permission) => self.allow(permission),
                }
        })
    }

    /// The grants, sorted.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Says whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }
}

impl FromStr for Grant {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Grant, PermissionError> {
        if text == "*" {
            return Ok(Grant::All);
        }
        let mut all = Permission::ALL.iter().copied();
        let found = match text.strip_suffix(":*") {
            Some(area) => all
                .find(|permission| permission.area() == area)
                .map(|permission| Grant::Area(permission.area())),
            None => all
                .find(|permission| permission.name() == text)
                .map(Grant::One),
        };
        found.ok_or_else(|| PermissionError {
            index: 0,
            text: text.chars().take(64).collect(),
        })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grant::All => f.write_str("*"),
            Grant::Area(area) => write!(f, "{area}:*"),
            Grant::One(permission) => f.write_str(permission.name()),
        }
    }
}

impl TryFrom<Vec<String>> for Permissions {
    type Error = PermissionError;

    fn try_from(texts: Vec<String>) -> Result<Permissions, PermissionError> {
        Permissions::parse_each(texts.iter().map(String::as_str))
    }
}

impl From<Permissions> for Vec<String> {
    fn from(permissions: Permissions) -> Vec<String> {
        permissions.grants.iter().map(Grant::to_string).collect()
    }
}

fn names() -> String {
    let names: Vec<&str> = Permission::ALL
        .iter()
        .map(|permission| permission.name())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Permissions {
        Permissions::parse_each(texts.iter().copied()).unwrap()
    }

    #[test]
    fn every_permission_allows_itself_only() {
        for &one in Permission::ALL {
            let set = parse(&[one.name()]);
            for &other in Permission::ALL {
                assert_eq!(set.allow(other), one == other, "{one} {other}");
            }
        }
    }

    #[test]
    fn an_area_allows_its_actions_only() {
        let set = parse(&["events:*"]);
        assert!(set.allow(Permission::EventsExport));
        assert!(!set.allow(Permission::KeysManage));
    }

    #[test]
    fn a_star_allows_everything_and_nothing_allows_nothing() {
        assert!(
            Permission::ALL
                .iter()
                .all(|one| Permissions::all().allow(*one))
        );
        assert!(
            !Permission::ALL
                .iter()
                .any(|one| Permissions::default().allow(*one))
        );
    }

    #[test]
    fn unknown_names_are_answered_with_what_exists() {
        for bad in [
            "",
            "events",
            "events:",
            "events:fly",
            "*:*",
            "Events:read",
            "event:*",
        ] {
            let error = Permissions::parse_each(["*", bad]).unwrap_err();
            assert_eq!(error.index, 1);
            assert!(
                error.to_string().contains("events:write, events:export"),
                "{error}"
            );
        }
    }

    #[test]
    fn only_a_wildcard_covers_a_wildcard() {
        assert!(parse(&["*"]).covers(&parse(&["events:*", "keys:manage"])));
        assert!(parse(&["events:*"]).covers(&parse(&["events:read", "events:*"])));
        assert!(!parse(&["events:*"]).covers(&parse(&["*"])));
        let every_one: Vec<&str> = Permission::ALL.iter().map(|one| one.name()).collect();
        assert!(!parse(&every_one).covers(&parse(&["audit:*"])));
        assert!(!parse(&["events:read"]).covers(&parse(&["events:write"])));
    }

    #[test]
    fn a_set_reads_back_from_what_it_shows() {
        let set = parse(&["keys:manage", "events:*", "events:*"]);
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, r#"["events:*","keys:manage"]"#);
        assert_eq!(serde_json::from_str::<Permissions>(&text).unwrap(), set);
    }
}
