//! How many requests a minute a key may make, how many tenants an hour an address may make, and the headers that say how a
//! caller stands.
//!
//! Counts in memory; a restart forgives. The plan's events a minute are counted by the tenant's actor, which knows how many
//! events a request really had.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use domain::{
    ids::KeyId,
    plan::Tier,
    rate::{Bucket, Limit, Refused, Standing},
    time::Timestamp,
};
use parking_lot::Mutex;

/// Keys that are counted at once; full buckets are forgotten first.
const KEYS_MAX: usize = 65_536;
/// Addresses that are counted at once. When all of these have signed up lately, nobody else can for a while.
const ADDRESSES_MAX: usize = 65_536;
/// What one subscriber of an IPv6 network is given at least, so that its addresses are one.
const IPV6_NETWORK: u128 = u128::MAX << 64;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Counts the requests of keys.
#[derive(Debug, Default)]
pub(crate) struct KeyLimits {
    buckets: Mutex<HashMap<KeyId, Bucket>>,
}

impl KeyLimits {
    /// Takes one request from the key's minute. `None` for a key without a limit.
    pub(crate) fn take(
        &self,
        key: KeyId,
        tier: Tier,
        now: Timestamp,
    ) -> Result<Option<Standing>, (Duration, Standing)> {
        let Some(per_minute) = tier.per_minute() else {
            return Ok(None);
        };
        let limit = Limit::per_minute(per_minute);
        let mut buckets = self.buckets.lock();
        if buckets.len() >= KEYS_MAX {
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = buckets.entry(key).or_insert_with(|| Bucket::full(limit));
        match bucket.take(1, now, limit) {
            Ok(standing) => Ok(Some(standing)),
            Err(Refused::ForNow {
                retry_after,
                standing,
            }) => Err((retry_after, standing)),
            // A tier of no request a minute.
            Err(Refused::Ever { standing }) => Err((standing.reset, standing)),
        }
    }
}

/// Counts what strangers make.
#[derive(Debug, Default)]
pub(crate) struct SignupLimits {
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

impl SignupLimits {
    /// Takes one tenant from the hour of an address, or says when the next one may be made.
    pub(crate) fn take(
        &self,
        address: IpAddr,
        per_hour: u32,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let (address, limit) = (network_of(address), Limit::per_hour(per_hour));
        let mut buckets = self.buckets.lock();
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&address) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            if buckets.len() >= ADDRESSES_MAX {
                return Err(limit.per);
            }
        }
        let bucket = buckets
            .entry(address)
            .or_insert_with(|| Bucket::full(limit));
        match bucket.take(1, now, limit) {
            Ok(_standing) => Ok(()),
            Err(Refused::ForNow { retry_after, .. }) => Err(retry_after),
            Err(Refused::Ever { standing }) => Err(standing.reset),
        }
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Says how the caller stands: the fields of the IETF draft "`RateLimit` header fields for HTTP", and those that came before it.
/// A caller without a limit gets none of them, because there is nothing that they could say.
pub(crate) fn mark(headers: &mut HeaderMap, standing: &Standing) {
    let Standing {
        limit,
        remaining,
        reset,
    } = *standing;
    let reset = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
    let texts = [
        (RATE_LIMIT_POLICY, format!("\"default\";q={limit};w=60")),
        (RATE_LIMIT, format!("\"default\";r={remaining};t={reset}")),
    ];
    for (name, text) in texts {
        let value = HeaderValue::from_str(&text).expect("digits and ASCII punctuation");
        headers.insert(name, value);
    }
    headers.insert(X_LIMIT, HeaderValue::from(limit));
    headers.insert(X_REMAINING, HeaderValue::from(remaining));
    headers.insert(X_RESET, HeaderValue::from(reset));
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tier_bounds_the_requests_of_a_minute() {
        let (limits, key) = (KeyLimits::default(), KeyId::from_uuid(Uuid::nil()));
        let now = Timestamp::from_micros(1);
        for _ in 0..2 {
            assert!(limits.take(key, Tier::Custom(2), now).is_ok());
        }
        let (retry_after, standing) = limits.take(key, Tier::Custom(2), now).unwrap_err();
        assert_eq!(standing.remaining, 0);
        assert!(
            limits
                .take(key, Tier::Custom(2), now.plus(retry_after))
                .is_ok()
        );
        assert_eq!(limits.take(key, Tier::None, now), Ok(None));
    }

    #[test]
    fn an_address_makes_no_more_tenants_than_its_hour_allows() {
        let (limits, now) = (SignupLimits::default(), Timestamp::from_micros(1));
        let address = |text: &str| text.parse().unwrap();
        for _ in 0..2 {
            assert_eq!(limits.take(address("192.0.2.1"), 2, now), Ok(()));
        }
        // The same address, as a socket for both versions shows it.
        let wait = limits
            .take(address("::ffff:192.0.2.1"), 2, now)
            .unwrap_err();
        assert_eq!(wait, Duration::from_mins(30));
        assert_eq!(limits.take(address("192.0.2.2"), 2, now), Ok(()));
        assert_eq!(limits.take(address("192.0.2.1"), 2, now.plus(wait)), Ok(()));
    }

    #[test]
    fn all_addresses_of_one_ipv6_network_are_one() {
        let (limits, now) = (SignupLimits::default(), Timestamp::from_micros(1));
        let address = |text: &str| text.parse().unwrap();
        assert_eq!(limits.take(address("2001:db8::1"), 1, now), Ok(()));
        assert!(limits.take(address("2001:db8::ffff:1"), 1, now).is_err());
        assert_eq!(limits.take(address("2001:db8:0:1::1"), 1, now), Ok(()));
    }
}
