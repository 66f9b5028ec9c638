//! Identifiers: UUIDs with a type of their own and a prefix that people can read.
//!
//! Makes no decision about who may use an id; a tenant boundary is the `TenantId` argument itself.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected `{prefix}` followed by a UUID")]
pub struct IdError {
    /// The prefix that the id should have had, such as `evt_`.
    pub prefix: &'static str,
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What stands before the UUID when the id is shown.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID that is known to name one of these.
            pub const fn from_uuid(uuid: Uuid) -> $name {
                $name(uuid)
            }

            /// The bare UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The 16 bytes of the UUID, as stores keep them.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0_u8; 32];
                f.write_str($prefix)?;
                f.write_str(self.0.as_simple().encode_lower(&mut digits))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<$name, IdError> {
                let wrong = IdError { prefix: $prefix };
                let digits = text.strip_prefix($prefix).ok_or(wrong.clone())?;
                Uuid::try_parse(digits).map($name).map_err(|_not_a_uuid| wrong)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<$name, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

prefixed_id!(
    /// A customer.
    TenantId, "ten_");
prefixed_id!(
    /// A named stream of events within a tenant.
    WorkspaceId, "ws_");
prefixed_id!(
    /// One immutable record in a tenant's log. Made by [`crate::event_id`].
    EventId, "evt_");
prefixed_id!(
    /// One subscription of one URL.
    WebhookId, "wh_");
prefixed_id!(
    /// One event on its way to one webhook. Made by [`crate::webhook::delivery_id`].
    DeliveryId, "dlv_");
prefixed_id!(
    /// Something a gateway connects.
    DeviceId, "dev_");
prefixed_id!(
    /// An API key's public name; says nothing about the secret.
    KeyId, "key_");
prefixed_id!(
    /// One replay of past events to a webhook.
    ReplayId, "rpl_");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_what_it_shows() {
        let id = TenantId::from_uuid(Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001));
        assert_eq!(id.to_string(), "ten_01930000000070008000000000000001");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_foreign_prefix_is_no_id() {
        let error = "wh_01930000000070008000000000000001".parse::<TenantId>();
        assert_eq!(error, Err(IdError { prefix: "ten_" }));
    }
}
