//! How far a key reaches: what it may do, how often, from where and until when.
//!
//! Decides whether one key reaches no further than another. Which workspace a key is confined to is decided where it is
//! named.

use actors::engine::KeyInput;
use domain::{
    key::{KeyRecord, canonical},
    permission::Permissions,
    plan::Tier,
    time::Timestamp,
};
use ipnet::IpNet;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach<'a> {
    permissions: &'a Permissions,
    tier: Tier,
    ip_allow: &'a [IpNet],
    /// When the key ends by itself.
    ends_at: Option<Timestamp>,
}

impl Reach<'_> {
    /// Says in what `other` reaches further than this, if it does.
    pub(super) fn covers(&self, other: &Reach<'_>) -> Result<(), &'static str> {
        if !self.permissions.covers(other.permissions) {
            return Err("the key would have permissions that your own key lacks");
        }
        let per_minute = |tier: Tier| tier.per_minute().unwrap_or(u32::MAX);
        if per_minute(other.tier) > per_minute(self.tier) {
            return Err("the key would have a higher tier than your own key");
        }
        let outlives = |own| other.ends_at.is_none_or(|until| until > own);
        if self.ends_at.is_some_and(outlives) {
            return Err(
                "your own key ends: `expires_at` must be given, and be no later than its own end",
            );
        }
        let is_within = |net: &IpNet| {
            let net = canonical(*net);
            self.ip_allow
                .iter()
                .any(|own| canonical(*own).contains(&net))
        };
        let is_confined = !other.ip_allow.is_empty() && other.ip_allow.iter().all(is_within);
        if !self.ip_allow.is_empty() && !is_confined {
            return Err(
                "your own key is bound to addresses: `ip_allow` must be given, and lie within its own",
            );
        }
        Ok(())
    }
}

impl<'a> From<&'a KeyRecord> for Reach<'a> {
    fn from(key: &'a KeyRecord) -> Reach<'a> {
        Reach {
            permissions: &key.permissions,
            tier: key.tier,
            ip_allow: &key.ip_allow,
            ends_at: key.ends_at(),
        }
    }
}

impl<'a> From<&'a KeyInput> for Reach<'a> {
    fn from(key: &'a KeyInput) -> Reach<'a> {
        Reach {
            permissions: &key.permissions,
            tier: key.tier,
            ip_allow: &key.ip_allow,
            ends_at: key.expires_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(own: (&[&str], Option<i64>), other: (&[&str], Option<i64>)) -> bool {
        let permissions = Permissions::parse_each(["*"]).unwrap();
        let nets = |texts: &[&str]| -> Vec<IpNet> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let (own_nets, other_nets) = (nets(own.0), nets(other.0));
        let reach = |ip_allow, ends_at: Option<i64>| Reach {
            permissions: &permissions,
            tier: Tier::None,
            ip_allow,
            ends_at: ends_at.map(Timestamp::from_micros),
        };
        let (own, other) = (reach(&own_nets, own.1), reach(&other_nets, other.1));
        own.covers(&other).is_ok()
    }

    #[test]
    fn a_key_that_expires_reaches_no_further_than_that() {
        assert!(covers((&[], None), (&[], None)));
        assert!(covers((&[], None), (&[], Some(1))));
        assert!(covers((&[], Some(5)), (&[], Some(5))));
        assert!(!covers((&[], Some(5)), (&[], Some(6))));
        assert!(!covers((&[], Some(5)), (&[], None)));
    }

    #[test]
    fn a_key_of_some_addresses_covers_only_what_lies_within_them() {
        let own: &[&str] = &["192.0.2.0/24", "2001:db8::/32"];
        let within: [&[&str]; 4] = [
            &["192.0.2.0/24"],
            &["192.0.2.7/32", "2001:db8:1::/48"],
            &["::ffff:192.0.2.0/120"],
            own,
        ];
        for nets in within {
            assert!(covers((own, None), (nets, None)), "{nets:?}");
            assert!(covers((&[], None), (nets, None)), "{nets:?}");
        }
        let beyond: [&[&str]; 4] = [
            &[],
            &["192.0.0.0/16"],
            &["192.0.2.7/32", "198.51.100.1/32"],
            &["::/0"],
        ];
        for nets in beyond {
            assert!(!covers((own, None), (nets, None)), "{nets:?}");
        }
        // What stands for IPv4 addresses is not within IPv6.
        assert!(!covers(
            (&["::/0"], None),
            (&["::ffff:192.0.2.0/120"], None)
        ));
    }
}
