//! Reads what callers say about groups, privacy and history.
//!
//! Every mistake is found at once, each with its pointer. People and groups are named as their network names them; bare
//! numbers are completed where the device's network has completed ones.

use std::fmt::Display;

use domain::{
    device::{PrivacySettings, complete_group_jid, complete_jid},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::control::Device;

use crate::http::{
    members::{Given, Members},
    problem::Problem,
};

/// Bytes of the name of somebody or of a group.
const ADDRESS_BYTES_MAX: usize = 255;
const SUBJECT_LENGTH_MAX: usize = 255;
/// How many people one command may name.
const PARTICIPANTS_MAX: usize = 1_024;
const HISTORY_COUNT_DEFAULT: u64 = 50;
const HISTORY_COUNT_MAX: u64 = 500;
/// Connectors whose networks name people by bare numbers, which therefore stay as they are.
const BARE_NUMBERS: [&str; 2] = ["telegram", "mqtt"];

/// A group that is to be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewGroup {
    /// What it is called.
    pub(super) subject: String,
    /// Who is in it.
    pub(super) participants: Vec<String>,
}

/// A message that is known, before which history is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_me: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

/// The full name of whom a text means on the device's network; else what was expected.
pub(super) fn address(text: &str, device: &Device) -> Result<String, String> {
    completed(text, device, complete_jid)
}

/// The full name of the group that a text means; else what was expected.
pub(super) fn group(text: &str, device: &Device) -> Result<String, String> {
    completed(text, device, complete_group_jid)
}

fn completed<E: Display>(
    text: &str,
    device: &Device,
    complete: impl Fn(&str) -> Result<String, E>,
) -> Result<String, String> {
    let is_short = |text: &str| {
        (1..=ADDRESS_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
    };
    let full = if BARE_NUMBERS.contains(&device.connector.as_str()) {
        text.to_owned()
    } else {
        complete(text).map_err(|error| error.to_string())?
    };
    if is_short(&full) {
        Ok(full)
    } else {
        Err(format!(
            "expected 1 to {ADDRESS_BYTES_MAX} bytes, none of them a control character"
        ))
    }
}

/// Reads `{"subject", "participants"}`.
pub(super) fn new_group(body: &[u8], device: &Device) -> Result<NewGroup, Problem> {
    let mut members = Members::parse(body, &["subject", "participants"])?;
    let subject = members.text("subject", SUBJECT_LENGTH_MAX);
    members.missing("subject");
    let participants = people(&mut members, device);
    members.end()?;
    Ok(NewGroup {
        subject: subject.or(String::new()),
        participants,
    })
}

/// Reads `{"participants"}`.
pub(super) fn participants(body: &[u8], device: &Device) -> Result<Vec<String>, Problem> {
    let mut members = Members::parse(body, &["participants"])?;
    let people = people(&mut members, device);
    members.end()?;
    Ok(people)
}

/// Somebody who is named twice is meant once.
fn people(members: &mut Members, device: &Device) -> Vec<String> {
    members.missing("participants");
    let items = members.take("participants", |value| {
        let items = value.as_array().cloned();
        items
            .filter(|items| (1..=PARTICIPANTS_MAX).contains(&items.len()))
            .ok_or_else(|| format!("expected a list of 1 to {PARTICIPANTS_MAX} numbers or names"))
    });
    let mut people = Vec::new();
    for (index, item) in items.or(Vec::new()).iter().enumerate() {
        let read = match item.as_str() {
            Some(text) => address(text, device),
            None => Err("expected a string".to_owned()),
        };
        match read {
            Ok(person) if people.contains(&person) => {}
            Ok(person) => people.push(person),
            Err(detail) => members.wrong(format!("/participants/{index}"), detail),
        }
    }
    people
}

/// Reads the settings that are to be changed: at least one.
pub(super) fn privacy(body: &[u8]) -> Result<PrivacySettings, Problem> {
    const NAMES: [&str; 5] = [
        "readreceipts",
        "online",
        "lastSeen",
        "groupAdd",
        "statusPrivacy",
    ];
    let mut members = Members::parse(body, &NAMES)?;
    let circle = "all, contacts or none";
    let settings = PrivacySettings {
        readreceipts: members.read("readreceipts", "all or none").value(),
        online: members.read("online", "all or matches").value(),
        last_seen: members.read("lastSeen", circle).value(),
        group_add: members.read("groupAdd", circle).value(),
        status_privacy: members.read("statusPrivacy", circle).value(),
    };
    // What was given and is wrong was noted where it stands.
    if !NAMES.iter().any(|name| members.has(name)) {
        members.wrong("", format!("expected at least one of {}", NAMES.join(", ")));
    }
    for name in NAMES {
        if members.is_null(name) {
            members.wrong(
                format!("/{name}"),
                "expected a value: leave out what is to stay",
            );
        }
    }
    members.end()?;
    Ok(settings)
}

/// Reads `{"chat"?, "count"?, "before"?}`, all of which may be left out.
pub(super) fn history(body: &[u8], device: &Device) -> Result<Value, Problem> {
    let mut members = Members::parse(body, &["chat", "count", "before"])?;
    let chat = members.take("chat", |value| match value.as_str() {
        Some(text) => address(text, device),
        None => Err("expected a string".to_owned()),
    });
    let count = members.number("count", 1..=HISTORY_COUNT_MAX);
    let before = members.read::<Before>("before", "a message: id, sender, from_me, at");
    if let Given::Value(before) = &before {
        check_before(&mut members, before);
    }
    members.end()?;
    let mut args = json!({ "count": count.or(HISTORY_COUNT_DEFAULT) });
    if let Given::Value(chat) = chat {
        args["chat"] = json!(chat);
    }
    if let Given::Value(before) = before {
        args["before"] = json!(before);
    }
    Ok(args)
}

fn check_before(members: &mut Members, before: &Before) {
    if !members.has("chat") {
        members.wrong("/chat", "it is missing: `before` names a message of a chat");
    }
    let is_short = |text: &str| (1..=ADDRESS_BYTES_MAX).contains(&text.len());
    if !is_short(&before.id) {
        members.wrong("/before/id", "expected the id of a message");
    }
    if before
        .sender
        .as_deref()
        .is_some_and(|sender| sender.len() > ADDRESS_BYTES_MAX)
    {
        members.wrong("/before/sender", "expected the name of its sender");
    }
}

#[cfg(test)]
pub(super) mod tests;
