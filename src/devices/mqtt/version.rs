//! The two versions of MQTT that are spoken.

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// MQTT 3.1.1: refusals have few words, and a connection just ends.
    V3,
    /// MQTT 5: everything has a reason.
    V5,
}

impl Version {
    /// What a device's gateway is called when nothing else is known of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Version::V3 => "mqtt/3.1.1",
            Version::V5 => "mqtt/5",
        }
    }
}
