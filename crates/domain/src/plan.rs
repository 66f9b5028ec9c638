//! What a tenant has paid for: plans, and the rate tiers of keys.
//!
//! Holds numbers only; counting against them is done by whoever owns the count.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The plans that there are, smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanName {
    /// For a look.
    Free,
    /// For a small product.
    Starter,
    /// The first with a live tail.
    Growth,
    /// For a large product.
    Scale,
    /// No limits.
    Enterprise,
}

/// A text that names no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a plan: expected free, starter, growth, scale or enterprise")]
pub struct PlanNameError;

/// The limits of one plan; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Events a minute.
    #[serde(with = "number_or_none")]
    pub events_per_minute: Option<u32>,
    /// Rows of one export.
    #[serde(with = "number_or_none")]
    pub export_rows: Option<u64>,
    /// Whether there is a live tail.
    pub tail: bool,
    /// How long events are kept.
    #[serde(with = "number_or_none")]
    pub retention_days: Option<u32>,
    /// How many webhooks there may be.
    #[serde(with = "number_or_none")]
    pub webhooks: Option<u32>,
    /// How many devices there may be.
    #[serde(with = "number_or_none")]
    pub devices: Option<u32>,
}

/// All plans, as the configuration gives them: a limit is a number, or the text `none`. Every member must be there, so
/// that a forgotten line cannot lift a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plans {
    /// For a look.
    pub free: Plan,
    /// For a small product.
    pub starter: Plan,
    /// The first with a live tail.
    pub growth: Plan,
    /// For a large product.
    pub scale: Plan,
    /// No limits.
    pub enterprise: Plan,
}

/// How many requests a minute a key may make, whatever its tenant's plan says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tier {
    /// 100 a minute.
    Standard,
    /// 500 a minute.
    Elevated,
    /// 2,000 a minute.
    Premium,
    /// A number of its own; at least 1.
    Custom(u32),
    /// No limit of the key's own.
    #[default]
    None,
}

/// A text that is no tier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tier: expected STANDARD, ELEVATED, PREMIUM, CUSTOM:<requests a minute> or NONE")]
pub struct TierError;

impl PlanName {
    /// Every plan, smallest first.
    pub const ALL: [PlanName; 5] = [
        PlanName::Free,
        PlanName::Starter,
        PlanName::Growth,
        PlanName::Scale,
        PlanName::Enterprise,
    ];

    /// The name that the API shows.
    pub const fn name(self) -> &'static str {
        match self {
            PlanName::Free => "free",
            PlanName::Starter => "starter",
            PlanName::Growth => "growth",
            PlanName::Scale => "scale",
            PlanName::Enterprise => "enterprise",
        }
    }
}

impl Plans {
    /// The limits of all plans, smallest first.
    pub const fn all(&self) -> [&Plan; 5] {
        [
            &self.free,
            &self.starter,
            &self.growth,
            &self.scale,
            &self.enterprise,
        ]
    }

    /// The limits of a plan.
    pub const fn get(&self, name: PlanName) -> &Plan {
        match name {
            PlanName::Free => &self.free,
            PlanName::Starter => &self.starter,
            PlanName::Growth => &self.growth,
            PlanName::Scale => &self.scale,
            PlanName::Enterprise => &self.enterprise,
        }
    }
}

impl Default for Plans {
    fn default() -> Plans {
        let plan = |per_minute, rows, tail, days, webhooks, devices| Plan {
            events_per_minute: Some(per_minute),
            export_rows: Some(rows),
            tail,
            retention_days: Some(days),
            webhooks: Some(webhooks),
            devices: Some(devices),
        };
        Plans {
            free: plan(100, 10_000, false, 30, 5, 2),
            starter: plan(1_000, 50_000, false, 90, 25, 10),
            growth: plan(10_000, 250_000, true, 365, 100, 100),
            scale: plan(100_000, 1_000_000, true, 730, 1_000, 10_000),
            enterprise: Plan {
                events_per_minute: None,
                export_rows: None,
                tail: true,
                retention_days: None,
                webhooks: None,
                devices: None,
            },
        }
    }
}

impl Tier {
    /// The limit; `None` is none.
    pub const fn per_minute(self) -> Option<u32> {
        match self {
            Tier::Standard => Some(100),
            Tier::Elevated => Some(500),
            Tier::Premium => Some(2_000),
            Tier::Custom(per_minute) => Some(per_minute),
            Tier::None => None,
        }
    }
}

impl FromStr for PlanName {
    type Err = PlanNameError;

    fn from_str(text: &str) -> Result<PlanName, PlanNameError> {
        PlanName::ALL
            .into_iter()
            .find(|plan| plan.name().eq_ignore_ascii_case(text))
            .ok_or(PlanNameError)
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = TierError;

    fn from_str(text: &str) -> Result<Tier, TierError> {
        let text = text.to_ascii_uppercase();
        match text.as_str() {
            "STANDARD" => Ok(Tier::Standard),
            "ELEVATED" => Ok(Tier::Elevated),
            "PREMIUM" => Ok(Tier::Premium),
            "NONE" => Ok(Tier::None),
            custom => custom
                .strip_prefix("CUSTOM")
                .and_then(|rest| rest.strip_prefix([':', ' ']))
                .and_then(|number| number.parse().ok())
                .filter(|per_minute| *per_minute > 0)
                .map(Tier::Custom)
                .ok_or(TierError),
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tier::Standard => f.write_str("STANDARD"),
            Tier::Elevated => f.write_str("ELEVATED"),
            Tier::Premium => f.write_str("PREMIUM"),
            Tier::Custom(per_minute) => write!(f, "CUSTOM:{per_minute}"),
            Tier::None => f.write_str("NONE"),
        }
    }
}

impl Serialize for Tier {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tier {
    /// Reads a tier's text; `null` is no limit too.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Tier, D::Error> {
        match Option::<String>::deserialize(from)? {
            None => Ok(Tier::None),
            Some(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

/// A limit in the configuration: a number, or `none`. Environment variables give numbers as texts.
mod number_or_none {
    use std::{fmt, marker::PhantomData, str::FromStr};

    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<T, S>(limit: &Option<T>, to: S) -> Result<S::Ok, S::Error>
    where
        T: Copy + Into<u64>,
        S: Serializer,
    {
        match *limit {
            Some(number) => to.serialize_u64(number.into()),
            None => to.serialize_str("none"),
        }
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: TryFrom<u64> + FromStr,
        D: Deserializer<'de>,
    {
        from.deserialize_any(Limit(PhantomData))
    }

    struct Limit<T>(PhantomData<T>);

    impl<T: TryFrom<u64> + FromStr> de::Visitor<'_> for Limit<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, or \"none\" for no limit")
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Option<T>, E> {
            T::try_from(number)
                .map(Some)
                .map_err(|_too_large| E::invalid_value(de::Unexpected::Unsigned(number), &self))
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Option<T>, E> {
            match u64::try_from(number) {
                Ok(number) => self.visit_u64(number),
                Err(_negative) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
            }
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<T>, E> {
            if text.eq_ignore_ascii_case("none") {
                return Ok(None);
            }
            text.parse()
                .map(Some)
                .map_err(|_not_a_number| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_plans_read_back_from_what_they_show() {
        let text = serde_json::to_string(&Plans::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<Plans>(&text).unwrap(),
            Plans::default()
        );
    }

    #[test]
    fn a_limit_is_a_number_or_none() {
        let plan = |webhooks: &str| {
            serde_json::from_str::<Plan>(&format!(
                r#"{{"events_per_minute":1,"export_rows":"none","tail":true,
                    "retention_days":"30","webhooks":{webhooks},"devices":0}}"#
            ))
        };
        assert_eq!(plan("7").unwrap().webhooks, Some(7));
        assert_eq!(plan("7").unwrap().export_rows, None);
        assert_eq!(plan("7").unwrap().retention_days, Some(30));
        for bad in ["-1", "5000000000", "\"many\"", "null", "1.5"] {
            assert!(plan(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_or_missing_member_of_a_plan_is_an_error() {
        assert!(serde_json::from_str::<Plan>(r#"{"tail":true}"#).is_err());
        let mut plan = serde_json::to_value(Plans::default().free).unwrap();
        plan["seats"] = 1.into();
        assert!(serde_json::from_value::<Plan>(plan).is_err());
    }

    #[test]
    fn plans_are_found_by_name() {
        assert_eq!("Growth".parse(), Ok(PlanName::Growth));
        assert_eq!("gold".parse::<PlanName>(), Err(PlanNameError));
        for name in PlanName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert!(Plans::default().get(PlanName::Growth).tail);
        assert!(!Plans::default().get(PlanName::Starter).tail);
    }

    #[test]
    fn a_tier_reads_back_from_what_it_shows() {
        for tier in [
            Tier::Standard,
            Tier::Elevated,
            Tier::Premium,
            Tier::Custom(7),
            Tier::None,
        ] {
            assert_eq!(tier.to_string().parse(), Ok(tier));
        }
        assert_eq!("custom 250".parse(), Ok(Tier::Custom(250)));
        assert_eq!(serde_json::from_str::<Tier>("null").unwrap(), Tier::None);
        for bad in ["", "GOLD", "CUSTOM", "CUSTOM:0", "CUSTOM:-1", "CUSTOM250"] {
            assert_eq!(bad.parse::<Tier>(), Err(TierError), "{bad}");
        }
    }
}
