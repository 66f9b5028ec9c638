//! The words of the Bot API that events are made of.
//!
//! Everything that Telegram may leave out may be missing here too.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Update<'a> {
    pub(super) update_id: i64,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) edited_message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) channel_post: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) edited_channel_post: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) business_message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) edited_business_message: Option<&'a RawValue>,
    pub(super) deleted_business_messages: Option<Deleted>,
    pub(super) my_chat_member: Option<MemberChange>,
}

#[derive(Deserialize)]
pub(super) struct Deleted {
    pub(super) chat: Chat,
    pub(super) message_ids: Vec<i64>,
}

#[derive(Deserialize)]
pub(super) struct MemberChange {
    pub(super) chat: Chat,
    pub(super) from: User,
    pub(super) date: Option<i64>,
    pub(super) old_chat_member: Member,
    pub(super) new_chat_member: Member,
}

#[derive(Deserialize)]
pub(super) struct Member {
    pub(super) status: String,
    pub(super) is_member: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Chat {
    pub(super) id: i64,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    pub(super) title: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: i64,
    #[serde(default)]
    pub(super) first_name: String,
    pub(super) last_name: Option<String>,
}

/// A message: who, where, when, and what is in it.
#[derive(Deserialize)]
pub(super) struct Message {
    pub(super) message_id: i64,
    pub(super) chat: Chat,
    pub(super) from: Option<User>,
    pub(super) sender_chat: Option<Chat>,
    pub(super) date: Option<i64>,
    pub(super) edit_date: Option<i64>,
    pub(super) text: Option<String>,
    pub(super) caption: Option<String>,
    #[serde(default)]
    pub(super) entities: Vec<Entity>,
    #[serde(default)]
    pub(super) caption_entities: Vec<Entity>,
    pub(super) reply_to_message: Option<Answered>,
    #[serde(default)]
    pub(super) photo: Vec<File>,
    pub(super) animation: Option<File>,
    pub(super) video: Option<File>,
    pub(super) video_note: Option<File>,
    pub(super) audio: Option<File>,
    pub(super) voice: Option<File>,
    pub(super) sticker: Option<File>,
    pub(super) document: Option<File>,
    pub(super) location: Option<Nothing>,
    pub(super) contact: Option<Nothing>,
    pub(super) poll: Option<Nothing>,
    #[serde(flatten)]
    pub(super) service: Service,
}

/// What a service message tells: that a group has changed.
#[derive(Deserialize)]
pub(super) struct Service {
    pub(super) new_chat_members: Option<Vec<User>>,
    pub(super) left_chat_member: Option<User>,
    pub(super) new_chat_title: Option<String>,
    pub(super) new_chat_photo: Option<Nothing>,
    pub(super) delete_chat_photo: Option<Nothing>,
    pub(super) group_chat_created: Option<Nothing>,
    pub(super) supergroup_chat_created: Option<Nothing>,
    pub(super) channel_chat_created: Option<Nothing>,
    pub(super) migrate_to_chat_id: Option<i64>,
    pub(super) migrate_from_chat_id: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Answered {
    pub(super) message_id: i64,
}

#[derive(Deserialize)]
pub(super) struct Entity {
    pub(super) user: Option<User>,
}

/// A photo, a video, a document …
#[derive(Deserialize)]
pub(super) struct File {
    pub(super) file_id: String,
    pub(super) mime_type: Option<String>,
    pub(super) file_size: Option<u64>,
    pub(super) file_name: Option<String>,
    pub(super) width: Option<u64>,
    pub(super) height: Option<u64>,
    pub(super) duration: Option<u64>,
}

/// Something of which only matters that it is there.
pub(super) type Nothing = serde::de::IgnoredAny;

impl User {
    pub(super) fn name(&self) -> Option<String> {
        let name = match &self.last_name {
            Some(last) => format!("{} {last}", self.first_name),
            None => self.first_name.clone(),
        };
        (!name.trim().is_empty()).then(|| name.trim().to_owned())
    }
}

impl Chat {
    pub(super) fn is_private(&self) -> bool {
        self.kind == "private"
    }
}
