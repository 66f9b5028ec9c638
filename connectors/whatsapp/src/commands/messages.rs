//! `message.send`: new messages, edits, deletions and reactions.

use std::sync::Arc;

use domain::device::{Command, RefusedBy};
use serde::Deserialize;
use serde_json::{Value, json};
use whatsapp_rust::{
    Client, Jid, RevokeType, SendOptions,
    buffa::MessageField,
    proto_helpers::{MessageBuilderExt as _, build_reaction_message},
    wacore_binary::JidExt as _,
    waproto::whatsapp as wa,
};

use super::{args, failed, jid, refused};
use crate::{clock::unix_millis, told::bare};

#[derive(Deserialize)]
struct Args {
    to: String,
    text: Option<String>,
    reply_to: Option<Meant>,
    #[serde(default)]
    mentions: Vec<String>,
    edit: Option<Edit>,
    delete: Option<Meant>,
    reaction: Option<Reaction>,
    location: Option<Location>,
}

/// A message that is meant: its id, or more about it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Meant {
    Id(String),
    Message(Named),
}

#[derive(Deserialize)]
struct Named {
    id: String,
    sender: Option<String>,
    from_me: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Edit {
    Id(String),
    Message { id: String, text: Option<String> },
}

#[derive(Deserialize)]
struct Reaction {
    #[serde(flatten)]
    to: Named,
    /// Empty takes a reaction back.
    #[serde(default)]
    emoji: String,
}

#[derive(Deserialize)]
struct Location {
    latitude: f64,
    longitude: f64,
    name: Option<String>,
    address: Option<String>,
}

pub(super) async fn send(client: &Arc<Client>, command: &Command) -> Result<Value, RefusedBy> {
    let mut wanted: Args = args(command)?;
    let to = jid(&wanted.to)?;
    if let Some(meant) = wanted.delete.take() {
        return delete(client, to, &meant.named()).await;
    }
    if let Some(edit) = wanted.edit.take() {
        let (id, text) = match edit {
            Edit::Id(id) => (id, wanted.text),
            Edit::Message { id, text } => (id, text.or(wanted.text)),
        };
        let text = text.ok_or_else(|| refused("invalid_field", "edit: expected a text"))?;
        let edited = client.edit_message(&to, id.as_str(), wa::Message::text(text));
        edited.await.map_err(failed)?;
        return Ok(sent(&to, &id));
    }
    let own = client.pn();
    let Some(message) = message(wanted, &to, own.as_ref())? else {
        let detail = "this connector sends text, location, reaction, edit and delete";
        return Err(refused("unsupported", detail));
    };
    let options = SendOptions::default().with_message_id(message_id(&command.id));
    let result = client
        .send_message_with_options(&to, message, options)
        .await;
    Ok(sent(&to, &result.map_err(failed)?.message_id))
}

async fn delete(client: &Arc<Client>, to: Jid, target: &Named) -> Result<Value, RefusedBy> {
    let revoke = match target.author() {
        None => RevokeType::Sender,
        Some(author) => RevokeType::Admin {
            original_sender: jid(author)?,
        },
    };
    let deleted = client.revoke_message(&to, target.id.as_str(), revoke).await;
    deleted.map_err(failed)?;
    Ok(sent(&to, &target.id))
}

/// The message to send, if there is something to say.
fn message(wanted: Args, to: &Jid, own: Option<&Jid>) -> Result<Option<wa::Message>, RefusedBy> {
    if let Some(reaction) = wanted.reaction {
        // Most reactions are to what others have said.
        let from_me = reaction.to.from_me.unwrap_or(false);
        let key = wa::MessageKey {
            remote_jid: Some(to.to_string()),
            from_me: Some(from_me),
            id: Some(reaction.to.id),
            participant: reaction.to.sender.filter(|_| to.is_group() && !from_me),
        };
        return Ok(Some(build_reaction_message(
            key,
            &reaction.emoji,
            unix_millis(),
        )));
    }
    if let Some(place) = wanted.location {
        return Ok(Some(wa::Message {
            location_message: MessageField::some(wa::message::LocationMessage {
                degrees_latitude: Some(place.latitude),
                degrees_longitude: Some(place.longitude),
                name: place.name,
                address: place.address,
                ..Default::default()
            }),
            ..Default::default()
        }));
    }
    let Some(text) = wanted.text else {
        return Ok(None);
    };
    if wanted.reply_to.is_none() && wanted.mentions.is_empty() {
        return Ok(Some(wa::Message::text(text)));
    }
    let mut context = wa::ContextInfo {
        mentioned_jid: wanted.mentions,
        ..Default::default()
    };
    if let Some(quoted) = wanted.reply_to.map(Meant::named) {
        let author = match quoted.author() {
            Some(author) => jid(author)?,
            None if quoted.from_me == Some(true) => own.unwrap_or(to).to_non_ad(),
            None => to.clone(),
        };
        context.stanza_id = Some(quoted.id);
        context.participant = Some(author.to_string());
        // Receivers want something to show; the engine keeps no message's network form.
        context.quoted_message = MessageField::some(wa::Message::text(""));
    }
    Ok(Some(wa::Message::text_with_context(text, context)))
}

impl Meant {
    fn named(self) -> Named {
        match self {
            Meant::Message(named) => named,
            Meant::Id(id) => Named {
                id,
                sender: None,
                from_me: None,
            },
        }
    }
}

impl Named {
    /// Who wrote it, if that is somebody else.
    fn author(&self) -> Option<&str> {
        let author = self.sender.as_deref().filter(|sender| !sender.is_empty());
        author.filter(|_| self.from_me != Some(true))
    }
}

/// The network's id for the message of a command: the form that its own clients use.
fn message_id(command: &str) -> String {
    let digits = command.chars().filter(char::is_ascii_hexdigit);
    let last: Vec<char> = digits.collect();
    let tail = &last[last.len().saturating_sub(18)..];
    let tail: String = tail.iter().map(char::to_ascii_uppercase).collect();
    format!("3EB0{tail}")
}

fn sent(to: &Jid, id: &str) -> Value {
    json!({"key": {"chat": bare(to), "sender": "", "id": id}})
}

#[cfg(test)]
mod tests;
