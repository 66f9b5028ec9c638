//! Reads a message that is to be sent: to whom, and that there is something in it.
//!
//! What can be sent is the network's business, so members that nobody here knows reach the gateway byte for byte.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use store::control::Device;

use super::input::address;
use crate::http::{
    members::all_wrong,
    problem::{Code, FieldError, Problem},
};

/// How deep a message may nest (API §2).
const DEPTH_MAX: usize = 64;
/// Bytes of the text of a message.
const TEXT_BYTES_MAX: usize = 65_536;
/// How many members a message may have.
const MEMBERS_MAX: usize = 64;
/// Members that say how something is sent, and are nothing to send.
const CIRCUMSTANCES: [&str; 3] = ["to", "reply_to", "mentions"];

/// A message that is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// The chat, in full.
    pub(super) to: String,
    /// What the gateway is told: the message, with the chat in full.
    pub(super) args: Bytes,
    /// What is in it, such as `text`.
    pub(super) contents: Vec<String>,
}

/// The members of an object in their order, with the exact bytes of their values.
struct RawMembers<'a>(Vec<(String, &'a RawValue)>);

/// The mistakes that were found up to now.
#[derive(Default)]
struct Mistakes(Vec<FieldError>);

impl Mistakes {
    fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        let (pointer, detail) = (pointer.into(), detail.into());
        self.0.push(FieldError { pointer, detail });
    }
}

impl Outgoing {
    /// Reads the body of a request.
    pub(super) fn parse(body: &[u8], device: &Device) -> Result<Outgoing, Problem> {
        let RawMembers(members) = object(body)?;
        let mut wrong = Mistakes::default();
        check_names(&members, &mut wrong);
        let to = recipient(&members, device, &mut wrong);
        let contents = contents(&members, &mut wrong);
        if !wrong.0.is_empty() {
            return Err(all_wrong(Code::InvalidField, wrong.0));
        }
        let mut args = format!("{{\"to\":{}", serde_json::Value::from(to.as_str()));
        for (name, value) in members.iter().filter(|(name, _)| name != "to") {
            let name = serde_json::Value::from(name.as_str());
            args.push_str(&format!(",{name}:{}", value.get()));
        }
        args.push('}');
        Ok(Outgoing {
            to,
            args: Bytes::from(args),
            contents,
        })
    }
}

fn object(body: &[u8]) -> Result<RawMembers<'_>, Problem> {
    let malformed = |detail: String| Problem::new(Code::MalformedJson, detail);
    let text = std::str::from_utf8(body)
        .map_err(|error| malformed(format!("the body is not UTF-8: {error}")))?;
    if domain::json::depth(body) > DEPTH_MAX {
        let detail = format!("expected at most {DEPTH_MAX} levels of nesting");
        return Err(malformed(detail));
    }
    serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            Problem::invalid_field("", format!("expected a JSON object: {error}"))
        } else {
            malformed(format!("the body is not JSON: {error}"))
        }
    })
}

/// A member that is there twice would be read one way here and another way there.
fn check_names(members: &[(String, &RawValue)], wrong: &mut Mistakes) {
    if members.len() > MEMBERS_MAX {
        wrong.add("", format!("expected at most {MEMBERS_MAX} members"));
        return;
    }
    for (index, (name, _)) in members.iter().enumerate() {
        if members[..index].iter().any(|(earlier, _)| earlier == name) {
            wrong.add(pointer(name), "expected once");
        }
        if name == "id" {
            wrong.add("/id", "there is no such member: a message gets its id here");
        }
    }
}

fn recipient(members: &[(String, &RawValue)], device: &Device, wrong: &mut Mistakes) -> String {
    let Some((_, raw)) = members.iter().find(|(name, _)| name == "to") else {
        wrong.add("/to", "it is missing");
        return String::new();
    };
    let read = match serde_json::from_str::<String>(raw.get()) {
        Ok(text) => address(&text, device),
        Err(_no_string) => Err("expected a string".to_owned()),
    };
    read.unwrap_or_else(|detail| {
        wrong.add("/to", detail);
        String::new()
    })
}

fn contents(members: &[(String, &RawValue)], wrong: &mut Mistakes) -> Vec<String> {
    let mut contents = Vec::new();
    for (name, raw) in members {
        let is_content = !CIRCUMSTANCES.contains(&name.as_str()) && raw.get() != "null";
        if !is_content || name == "id" {
            continue;
        }
        contents.push(name.clone());
        match name.as_str() {
            "text" => {
                let text = serde_json::from_str::<String>(raw.get()).unwrap_or_default();
                if !(1..=TEXT_BYTES_MAX).contains(&text.len()) {
                    wrong.add(
                        "/text",
                        format!("expected a text of 1 to {TEXT_BYTES_MAX} bytes"),
                    );
                }
            }
            "media" if !raw.get().starts_with('{') => wrong.add("/media", "expected an object"),
            _ => {}
        }
    }
    if contents.is_empty() {
        wrong.add(
            "",
            "there is nothing to send: expected text, media or another content",
        );
    }
    contents
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl<'de: 'a, 'a> Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RawMembers<'a>, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(RawMembers(members))
            }
        }
        from.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests;
