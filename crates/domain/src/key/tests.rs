//! The form of keys, their hash, and when one is refused.

use uuid::Uuid;

use super::*;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn record() -> KeyRecord {
    KeyRecord {
        id: KeyId::from_uuid(Uuid::from_u128(1)),
        tenant: TenantId::from_uuid(Uuid::from_u128(2)),
        workspace: None,
        name: "ci".to_owned(),
        permissions: Permissions::all(),
        tier: Tier::None,
        ip_allow: Vec::new(),
        expires_at: None,
        revoked_at: None,
        grace_until: None,
        created_at: at(0),
        prefix: String::new(),
        version: 1,
        last_used_at: None,
    }
}

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

#[test]
fn a_rotated_key_ends_with_its_grace_or_its_own_time_whichever_comes_first() {
    let ends_at = |expires_at: Option<i64>, grace_until: Option<i64>| {
        let key = KeyRecord {
            expires_at: expires_at.map(at),
            grace_until: grace_until.map(at),
            ..record()
        };
        key.ends_at()
    };
    assert_eq!(ends_at(None, None), None);
    assert_eq!(ends_at(Some(5), None), Some(at(5)));
    assert_eq!(ends_at(None, Some(3)), Some(at(3)));
    assert_eq!(ends_at(Some(5), Some(3)), Some(at(3)));
    assert_eq!(ends_at(Some(5), Some(7)), Some(at(5)));
}

#[test]
fn a_key_reads_back_from_what_it_shows() {
    let key = ApiKey::make("my-co", &[0xab; 32]).unwrap();
    assert_eq!(key.reveal(), format!("ak_my-co_{}", "ab".repeat(32)));
    let again = ApiKey::parse(key.reveal()).unwrap();
    assert_eq!(again.tenant(), "my-co");
    assert_eq!(again.prefix(), "ak_my-co_abababab");
}

#[test]
fn debug_shows_no_secret() {
    let key = ApiKey::make("t", &[0xab; 32]).unwrap();
    assert_eq!(format!("{key:?}"), "ApiKey(ak_t_abababab…)");
    assert_eq!(format!("{:?}", KeyPepper::new(&[1; 32])), "KeyPepper(…)");
}

#[test]
fn texts_of_another_form_are_no_keys() {
    let hex = "ab".repeat(32);
    for bad in [
        String::new(),
        "ak_".to_owned(),
        format!("ak__{hex}"),
        format!("ak_T_{hex}"),
        format!("ak_t_{}", &hex[1..]),
        format!("ak_t_{hex}0"),
        format!("ak_t_{}", hex.to_uppercase()),
        format!("ak_a_b_{hex}"),
        format!("ak_{}_{hex}", "a".repeat(41)),
        format!("sk_t_{hex}"),
        format!("ak_ä_{hex}"),
    ] {
        assert_eq!(ApiKey::parse(&bad).err(), Some(ApiKeyError), "{bad}");
    }
}

#[test]
fn the_hash_is_an_hmac_under_the_pepper() {
    // Test case 1 of RFC 4231 has a key of 20 bytes; HMAC pads with zeros, so 32 bytes with 12 zeros are the same key.
    let mut pepper = [0; 32];
    pepper[..20].fill(0x0b);
    let hash = KeyPepper::new(&pepper).hash("Hi There");
    let wanted = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
    assert_eq!(hash.to_string(), wanted);
    assert_eq!(wanted.parse(), Ok(hash));
    assert_ne!(KeyPepper::new(&[1; 32]).hash("Hi There"), hash);
}

#[test]
fn a_fresh_key_may_be_used_from_everywhere() {
    assert_eq!(record().check(at(5), HOME), Ok(()));
}

#[test]
fn a_key_ends_at_its_expiry() {
    let key = KeyRecord {
        expires_at: Some(at(10)),
        ..record()
    };
    assert_eq!(key.check(at(9), HOME), Ok(()));
    assert_eq!(key.check(at(10), HOME), Err(KeyRefusal::Expired));
}

#[test]
fn a_revoked_key_is_refused_even_if_it_has_expired_too() {
    let key = KeyRecord {
        expires_at: Some(at(1)),
        revoked_at: Some(at(2)),
        ..record()
    };
    assert_eq!(key.check(at(2), HOME), Err(KeyRefusal::Revoked));
}

#[test]
fn a_rotated_key_works_for_its_grace_period() {
    let key = KeyRecord {
        grace_until: Some(at(10)),
        ..record()
    };
    assert_eq!(key.check(at(9), HOME), Ok(()));
    assert_eq!(key.check(at(10), HOME), Err(KeyRefusal::Revoked));
}

#[test]
fn addresses_are_compared_as_ipv4_however_they_are_written() {
    let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
    for net in ["192.0.2.0/24", "::ffff:192.0.2.0/120"] {
        let key = KeyRecord {
            ip_allow: vec![net.parse().unwrap()],
            ..record()
        };
        assert_eq!(key.check(at(0), HOME), Ok(()), "{net}");
        assert_eq!(key.check(at(0), mapped), Ok(()), "{net}");
        let other: IpAddr = "192.0.3.7".parse().unwrap();
        assert_eq!(
            key.check(at(0), other),
            Err(KeyRefusal::IpNotAllowed),
            "{net}"
        );
    }
}

#[test]
fn an_ipv6_network_lets_its_addresses_in() {
    let key = KeyRecord {
        ip_allow: vec!["2001:db8::/32".parse().unwrap()],
        ..record()
    };
    assert_eq!(key.check(at(0), "2001:db8::1".parse().unwrap()), Ok(()));
    assert_eq!(key.check(at(0), HOME), Err(KeyRefusal::IpNotAllowed));
}
