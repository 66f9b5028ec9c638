//! One name for each person: the network names people by number or by a hidden name that stands for it (`…@lid`), and the engine
//! shall see the number wherever it is known.

use whatsapp_rust::{Jid, Server};

/// Knows the numbers behind hidden names.
pub(crate) trait Addresses: Send + Sync {
    /// The number that a hidden name stands for.
    fn number_of(&self, hidden: &str) -> Option<String>;
}

/// A person, group or list, without the number of one of its devices. `other` is the same person's other name, if the network
/// told both.
pub(crate) fn known(addresses: &dyn Addresses, jid: &Jid, other: Option<&Jid>) -> String {
    if jid.server != Server::Lid {
        return bare(jid);
    }
    if let Some(other) = other.filter(|other| other.server == Server::Pn) {
        return bare(other);
    }
    match addresses.number_of(&jid.user) {
        Some(number) => Jid::new(number, Server::Pn).to_string(),
        None => bare(jid),
    }
}

/// An account or group, without the number of one of its devices.
pub(crate) fn bare(jid: &Jid) -> String {
    jid.to_non_ad().to_string()
}

/// The hidden name among both of somebody's names.
pub(super) fn hidden(jid: &Jid, other: Option<&Jid>) -> Option<String> {
    let mut both = [Some(jid), other].into_iter().flatten();
    both.find(|jid| jid.server == Server::Lid).map(bare)
}
