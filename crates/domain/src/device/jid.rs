//! Completes phone numbers to addresses of `WhatsApp`: the only place that knows how these look.
//!
//! Whether there is such a number or group only the network knows.

use crate::event::TEXT_LENGTH_MAX;

const PERSON: &str = "@s.whatsapp.net";
const GROUP: &str = "@g.us";
/// How many digits a phone number may have.
const DIGITS: std::ops::RangeInclusive<usize> = 5..=20;

/// A text that is neither a number nor an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// Not a person's.
    #[error("expected a phone number of 5 to 20 digits, or an address with @")]
    Person,
    /// Not a group's.
    #[error("expected the id of a group, such as 120363000000000000@g.us")]
    Group,
}

/// Completes a phone number; blanks, dashes, dots, brackets and a leading `+` are dropped. What has an `@` is taken as it is.
pub fn complete_jid(text: &str) -> Result<String, JidError> {
    let text = text.trim();
    if text.contains('@') {
        return is_address(text)
            .then(|| text.to_owned())
            .ok_or(JidError::Person);
    }
    let number = text.strip_prefix('+').unwrap_or(text);
    let digits: String = number
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/'))
        .collect();
    if DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok(digits + PERSON)
    } else {
        Err(JidError::Person)
    }
}

/// Completes the id of a group; an address must be a group's.
pub fn complete_group_jid(text: &str) -> Result<String, JidError> {
    let text = text.trim();
    if text.contains('@') {
        let is_group = is_group_jid(text) && is_address(text);
        return is_group.then(|| text.to_owned()).ok_or(JidError::Group);
    }
    let is_id = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && text.bytes().any(|b| b.is_ascii_digit());
    is_id
        .then(|| format!("{text}{GROUP}"))
        .ok_or(JidError::Group)
}

/// Whether an address is a group's.
pub fn is_group_jid(jid: &str) -> bool {
    jid.ends_with(GROUP)
}

fn is_address(text: &str) -> bool {
    let has_parts = text
        .split_once('@')
        .is_some_and(|(user, server)| !user.is_empty() && !server.is_empty());
    has_parts
        && text.len() <= TEXT_LENGTH_MAX
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
