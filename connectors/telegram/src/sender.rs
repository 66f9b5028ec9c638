//! Carries out the engine's commands: sends, edits and deletes messages.
//!
//! A bot has no groups to make, no privacy to set and no history to fetch; these are refused with a code of their own.

use bytes::Bytes;
use gateway::{Command, CommandName, RefusedBy};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bot::{Bot, BotError};

/// The longest rest that Telegram may ask for before a message is given up, in seconds.
const REST_SECONDS_MAX: u64 = 20;

/// What carries commands out.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    bot: Bot,
}

/// The arguments of `message.send`.
#[derive(Debug, Deserialize)]
struct Args {
    to: String,
    text: Option<String>,
    reply_to: Option<Target>,
    edit: Option<Edit>,
    delete: Option<Target>,
}

/// A message, by its id or by a key with the id in it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Target {
    Id(String),
    Key { id: String },
}

#[derive(Debug, Deserialize)]
struct Edit {
    id: String,
    text: Option<String>,
}

impl Sender {
    pub(crate) fn new(bot: Bot) -> Sender {
        Sender { bot }
    }

    /// Carries one command out.
    pub(crate) async fn carry_out(&self, command: Command) -> Result<Bytes, RefusedBy> {
        match command.name {
            CommandName::MessageSend => self.send(&command.args).await,
            CommandName::GroupCreate
            | CommandName::GroupInfo
            | CommandName::GroupParticipantsAdd
            | CommandName::GroupParticipantsRemove
            | CommandName::PrivacyGet
            | CommandName::PrivacySet
            | CommandName::HistorySync => Err(refused(
                "unsupported",
                format!("Telegram offers bots nothing for {}", command.name),
            )),
        }
    }

    async fn send(&self, args: &[u8]) -> Result<Bytes, RefusedBy> {
        let args: Args = serde_json::from_slice(args)
            .map_err(|error| refused("invalid_field", error.to_string()))?;
        let (method, body, id) = call(&args)?;
        let result = match self.bot.ask(method, &body).await {
            // Telegram did not send it yet, so sending it again sends it once.
            Err(BotError::TooMany { after }) if after.as_secs() <= REST_SECONDS_MAX => {
                sleep(after).await;
                self.bot.ask(method, &body).await
            }
            result => result,
        };
        let result = result.map_err(explained)?;
        // An edit answers the message or `true`, a deletion `true`; a new message says what it is called.
        let id = result
            .get("message_id")
            .and_then(Value::as_i64)
            .map(|id| id.to_string())
            .or(id)
            .ok_or_else(|| refused("telegram_unclear", "Telegram named no message".to_owned()))?;
        let chat = result
            .pointer("/chat/id")
            .and_then(Value::as_i64)
            .map_or_else(|| args.to.clone(), |chat| chat.to_string());
        let data = json!({ "key": { "chat": chat, "sender": "", "id": id } });
        Ok(Bytes::from(data.to_string()))
    }
}

/// Method, body, and the id of the message if it is known already.
fn call(args: &Args) -> Result<(&'static str, Value, Option<String>), RefusedBy> {
    let chat = chat(&args.to)?;
    if let Some(target) = &args.delete {
        let body = json!({ "chat_id": chat, "message_id": number(target.id())? });
        return Ok(("deleteMessage", body, Some(target.id().to_owned())));
    }
    if let Some(edit) = &args.edit {
        let text = edit.text.as_ref().or(args.text.as_ref());
        let text = text.ok_or_else(|| refused("invalid_field", "edit.text is missing".into()))?;
        let body = json!({ "chat_id": chat, "message_id": number(&edit.id)?, "text": text });
        return Ok(("editMessageText", body, Some(edit.id.clone())));
    }
    let text = args.text.as_ref().ok_or_else(|| {
        let expected =
            "this connector sends text, edits and deletes: expected text, edit or delete";
        refused("unsupported", expected.to_owned())
    })?;
    let mut body = json!({ "chat_id": chat, "text": text });
    if let Some(target) = &args.reply_to {
        body["reply_parameters"] = json!({ "message_id": number(target.id())? });
    }
    Ok(("sendMessage", body, None))
}

/// A chat: its number, or the name of a public channel.
fn chat(to: &str) -> Result<Value, RefusedBy> {
    if let Ok(number) = to.parse::<i64>() {
        return Ok(number.into());
    }
    let is_name = to.len() > 1
        && to.starts_with('@')
        && to[1..]
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then(|| to.into()).ok_or_else(|| {
        refused(
            "invalid_field",
            "to: expected the id of a chat, or @name".into(),
        )
    })
}

fn number(id: &str) -> Result<i64, RefusedBy> {
    id.parse().map_err(|_not_a_number| {
        refused("invalid_field", format!("{id} is no message of Telegram"))
    })
}

fn explained(error: BotError) -> RefusedBy {
    match error {
        BotError::Unauthorized => refused("telegram_unauthorized", error.to_string()),
        BotError::TooMany { .. } => refused("too_many_requests", error.to_string()),
        BotError::Refused {
            status: 403,
            description,
        } => refused("forbidden", description),
        BotError::Refused { description, .. } | BotError::Conflict(description) => {
            refused("telegram_refused", description)
        }
        // It may have been sent all the same: nobody tries it again on his own.
        BotError::Unreachable(_) => refused("telegram_unreachable", error.to_string()),
    }
}

fn refused(code: &str, message: String) -> RefusedBy {
    RefusedBy {
        code: code.to_owned(),
        message,
    }
}

impl Target {
    fn id(&self) -> &str {
        match self {
            Target::Id(id) | Target::Key { id } => id,
        }
    }
}
