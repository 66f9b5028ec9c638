//! Names that tenants and workspaces have for ever, in keys and addresses.

use std::str::FromStr;

/// The longest slug: what fits into a key.
const LENGTH_MAX: usize = domain::key::TENANT_PART_LENGTH_MAX;

/// A text of `[a-z0-9-]`, 1 to 40 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slug(String);

/// A text that is no slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {LENGTH_MAX} of a-z, 0-9 and -, with a letter or digit first")]
pub(crate) struct SlugError;

impl Slug {
    /// The slug that a name suggests, with `suffix` at its end so that it is free.
    pub(crate) fn suggested(name: &str, suffix: &str) -> Slug {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        };
        let room = LENGTH_MAX - suffix.len() - 1;
        let text: String = name.chars().map(plain).take(room).collect();
        let text = text.trim_matches('-');
        let text = if text.is_empty() { "tenant" } else { text };
        Slug(format!("{text}-{suffix}"))
    }
}

impl FromStr for Slug {
    type Err = SlugError;

    fn from_str(text: &str) -> Result<Slug, SlugError> {
        let is_slug = (1..=LENGTH_MAX).contains(&text.len())
            && !text.starts_with(['-'])
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if is_slug {
            Ok(Slug(text.to_owned()))
        } else {
            Err(SlugError)
        }
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> String {
        slug.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_fits_into_a_key() {
        for good in ["a", "default", "my-shop-2", &"x".repeat(40)] {
            assert_eq!(good.parse::<Slug>().map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", "-a", "A", "a_b", "a b", "ä", &"x".repeat(41)] {
            assert_eq!(bad.parse::<Slug>(), Err(SlugError), "{bad}");
        }
    }

    #[test]
    fn a_suggested_slug_is_one() {
        for name in ["", "Müller & Söhne", "---", &"long".repeat(30)] {
            let slug = String::from(Slug::suggested(name, "0a1b2c3d"));
            assert!(slug.parse::<Slug>().is_ok(), "{slug}");
            assert!(slug.ends_with("-0a1b2c3d"));
        }
    }
}
