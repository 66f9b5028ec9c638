//! What the engine asks of the account.
//!
//! A message goes out under an id that follows from the command's, so that one that is asked for twice is one message to its
//! receiver.

mod messages;

use std::{sync::Arc, time::Duration};

use domain::{
    device::{Command, CommandName, RefusedBy},
    time::Timestamp,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use whatsapp_rust::{
    Client, Jid,
    features::{
        GroupCreateOptions, GroupMetadata, GroupParticipantOptions, ParticipantChangeResponse,
    },
    privacy_settings::{PrivacyCategory, PrivacySettingsResponse, PrivacyValue},
};

use crate::{clock, told::bare};

/// The settings that the API names, with the network's names for them.
const SETTINGS: [(&str, PrivacyCategory); 5] = [
    ("readreceipts", PrivacyCategory::ReadReceipts),
    ("online", PrivacyCategory::Online),
    ("lastSeen", PrivacyCategory::Last),
    ("groupAdd", PrivacyCategory::GroupAdd),
    ("statusPrivacy", PrivacyCategory::Status),
];

/// What is kept of a command's time for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long a command may wait before it is begun.
pub(crate) fn time_left(command: &Command) -> Duration {
    let left = (command.deadline.micros() / 1_000).saturating_sub(clock::unix_millis());
    let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
    left.saturating_sub(ANSWER_WITHIN)
}

/// Carries out one command.
pub(crate) async fn carry_out(client: &Arc<Client>, command: &Command) -> Result<Value, RefusedBy> {
    match command.name {
        CommandName::MessageSend => messages::send(client, command).await,
        CommandName::GroupCreate => create_group(client, args(command)?).await,
        CommandName::GroupInfo => {
            let GroupArgs { group, .. } = args(command)?;
            let found = client.groups().get_metadata(&jid(&group)?).await;
            Ok(shown(&found.map_err(failed)?))
        }
        CommandName::GroupParticipantsAdd => {
            change_participants(client, args(command)?, true).await
        }
        CommandName::GroupParticipantsRemove => {
            change_participants(client, args(command)?, false).await
        }
        CommandName::PrivacyGet => {
            let settings = client.fetch_privacy_settings().await.map_err(failed)?;
            Ok(shown_settings(&settings))
        }
        CommandName::PrivacySet => set_privacy(client, &args(command)?).await,
        CommandName::HistorySync => sync_history(client, args(command)?).await,
    }
}

#[derive(Deserialize)]
struct GroupArgs {
    #[serde(alias = "jid")]
    group: String,
    #[serde(default)]
    participants: Vec<String>,
}

#[derive(Deserialize)]
struct NewGroup {
    subject: String,
    participants: Vec<String>,
}

#[derive(Deserialize)]
struct HistoryArgs {
    chat: Option<String>,
    #[serde(default = "history_count")]
    count: i32,
    before: Option<HistoryMessage>,
}

#[derive(Deserialize)]
struct HistoryMessage {
    id: String,
    #[serde(default)]
    from_me: bool,
    at: Timestamp,
}

fn history_count() -> i32 {
    50
}

async fn create_group(client: &Arc<Client>, wanted: NewGroup) -> Result<Value, RefusedBy> {
    let participants: Result<Vec<GroupParticipantOptions>, RefusedBy> = wanted
        .participants
        .iter()
        .map(|text| Ok(GroupParticipantOptions::builder().jid(jid(text)?).build()))
        .collect();
    let options: GroupCreateOptions = GroupCreateOptions::builder()
        .subject(wanted.subject)
        .participants(participants?)
        .build();
    let made = client.groups().create_group(options).await;
    Ok(shown(&made.map_err(failed)?.metadata))
}

async fn change_participants(
    client: &Arc<Client>,
    wanted: GroupArgs,
    adds: bool,
) -> Result<Value, RefusedBy> {
    let group = jid(&wanted.group)?;
    let people: Result<Vec<Jid>, RefusedBy> =
        wanted.participants.iter().map(|text| jid(text)).collect();
    let (groups, people) = (client.groups(), people?);
    let changed = if adds {
        groups.add_participants(&group, &people).await
    } else {
        groups.remove_participants(&group, &people).await
    };
    let one = |change: &ParticipantChangeResponse| {
        json!({
            "jid": bare(change.phone_number.as_ref().unwrap_or(&change.jid)),
            "status": change.error.as_deref().unwrap_or("200"),
        })
    };
    let changed = changed.map_err(failed)?;
    Ok(json!({
        "group": bare(&group),
        "participants": changed.iter().map(one).collect::<Vec<_>>(),
    }))
}

async fn set_privacy(client: &Arc<Client>, wanted: &Value) -> Result<Value, RefusedBy> {
    for (name, category) in &SETTINGS {
        let Some(value) = wanted.get(name).and_then(Value::as_str) else {
            continue;
        };
        let value = match value {
            "all" => PrivacyValue::All,
            "contacts" => PrivacyValue::Contacts,
            "none" => PrivacyValue::None,
            "matches" => PrivacyValue::MatchLastSeen,
            other => {
                return Err(refused(
                    "invalid_field",
                    &format!("{name} cannot be {other}"),
                ));
            }
        };
        if !category.is_valid_value(&value) {
            return Err(refused(
                "invalid_field",
                &format!("{name} takes another value"),
            ));
        }
        let set = client.set_privacy_setting(category.clone(), value).await;
        set.map_err(failed)?;
    }
    let settings = client.fetch_privacy_settings().await.map_err(failed)?;
    Ok(shown_settings(&settings))
}

async fn sync_history(client: &Arc<Client>, wanted: HistoryArgs) -> Result<Value, RefusedBy> {
    let (Some(chat), Some(before)) = (wanted.chat, wanted.before) else {
        let detail =
            "name one with `chat`, and the oldest message of it that is known as `before` {id, at}";
        return Err(refused("no_anchor", detail));
    };
    let asked = client
        .fetch_message_history(
            &jid(&chat)?,
            &before.id,
            before.from_me,
            before.at.micros() / 1_000,
            wanted.count,
        )
        .await;
    let request = asked.map_err(failed)?;
    Ok(json!({"requests": [request], "chats": [chat]}))
}

fn shown(group: &GroupMetadata) -> Value {
    let person = |jid: &Jid, number: Option<&Jid>| bare(number.unwrap_or(jid));
    let people = group.participants.iter();
    let people = people.map(|one| (person(&one.jid, one.phone_number.as_ref()), one.is_admin()));
    let people: Vec<(String, bool)> = people.collect();
    let admins = people.iter().filter(|(_, is_admin)| *is_admin);
    let admins: Vec<&str> = admins.map(|(person, _)| person.as_str()).collect();
    let participants: Vec<&str> = people.iter().map(|(person, _)| person.as_str()).collect();
    json!({
        "group": bare(&group.id),
        "subject": group.subject,
        "description": group.description,
        "owner": group.creator_pn.as_ref().or(group.creator.as_ref()).map(bare),
        "created": group.creation_time,
        "announce": group.is_announcement,
        "restrict": group.is_locked,
        "participants": participants,
        "admins": admins,
    })
}

fn shown_settings(settings: &PrivacySettingsResponse) -> Value {
    let shown = SETTINGS.iter().filter_map(|(name, category)| {
        let value = match settings.get_value(category)? {
            PrivacyValue::MatchLastSeen => "matches".to_owned(),
            // People left out of `contacts` have no name of their own in the API.
            PrivacyValue::ContactBlacklist => "contacts".to_owned(),
            value => value.to_string(),
        };
        Some(((*name).to_owned(), value.into()))
    });
    Value::Object(shown.collect())
}

fn args<T: DeserializeOwned>(command: &Command) -> Result<T, RefusedBy> {
    serde_json::from_slice(&command.args)
        .map_err(|error| refused("invalid_field", &error.to_string()))
}

fn jid(text: &str) -> Result<Jid, RefusedBy> {
    text.parse().map_err(|_not| {
        refused(
            "invalid_field",
            &format!("{text:?} names nobody on this network"),
        )
    })
}

fn refused(code: &str, message: &str) -> RefusedBy {
    RefusedBy {
        code: code.into(),
        message: message.into(),
    }
}

/// What the network, or the way to it, has to say.
fn failed(error: impl std::fmt::Display) -> RefusedBy {
    refused("failed", &error.to_string())
}
