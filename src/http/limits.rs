//! How many requests a minute a key may make, and the headers that say how it stands.
//!
//! Counts in memory; a restart forgives. The plan's events a minute are counted by the tenant's actor, which knows how many
//! events a request really had.

use std::{collections::HashMap, time::Duration};

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
}
