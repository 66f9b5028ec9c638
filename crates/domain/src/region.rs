//! The regions in which a tenant's log can live.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One store, one bucket, one signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Region {
    /// Australia.
    Au,
    /// United States.
    Us,
    /// European Union.
    Eu,
    /// Asia and Pacific.
    Apac,
}

impl Region {
    /// Every region, in the order in which they are listed.
    pub const ALL: [Region; 4] = [Region::Au, Region::Us, Region::Eu, Region::Apac];

    /// The name that the API shows.
    pub const fn name(self) -> &'static str {
        match self {
            Region::Au => "AU",
            Region::Us => "US",
            Region::Eu => "EU",
            Region::Apac => "APAC",
        }
    }
}

/// A text that names no region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a region: expected AU, US, EU or APAC")]
pub struct RegionError;

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Region, RegionError> {
        Region::ALL
            .into_iter()
            .find(|region| region.name().eq_ignore_ascii_case(text))
            .ok_or(RegionError)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
