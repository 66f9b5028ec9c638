//! Secrets of messages, with which what refers to them (votes, reactions, edits) is read.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use whatsapp_rust::wacore::store::{
    error::Result,
    traits::{
        MsgSecretEntry, MsgSecretStore, merge_msg_secret_expiry, merge_msg_secret_message_ts,
    },
};

use super::{VaultBackend, from_json, joined, to_json, unix_seconds};
use crate::vault::{Row, Table};

#[derive(Serialize, Deserialize)]
struct Secret {
    secret: Vec<u8>,
    /// In Unix seconds; 0 means never.
    expires_at: i64,
    /// When the message was sent, in Unix seconds; 0 if that is not known.
    message_ts: i64,
}

#[async_trait]
impl MsgSecretStore for VaultBackend {
    async fn put_msg_secrets(&self, entries: Vec<MsgSecretEntry>) -> Result<usize> {
        let count = entries.len();
        let at = unix_seconds();
        // Not waited for: the session that the message belongs to is written next.
        self.change_later(|rows| {
            for entry in entries {
                let key = joined(&[&entry.chat, &entry.sender, &entry.msg_id]);
                let key = (Table::MessageSecrets, key);
                let before = rows.get(&key).map(|row| from_json::<Secret>(&row.value));
                let mut secret = Secret {
                    secret: entry.secret.to_vec(),
                    expires_at: entry.expires_at,
                    message_ts: entry.message_ts,
                };
                if let Some(before) = before.transpose()? {
                    secret.expires_at =
                        merge_msg_secret_expiry(before.expires_at, secret.expires_at);
                    secret.message_ts =
                        merge_msg_secret_message_ts(before.message_ts, secret.message_ts);
                }
                let value = to_json(&secret)?;
                rows.insert(key, Row { value, at });
            }
            Ok(count)
        })?
    }

    async fn get_msg_secret(
        &self,
        chat: &str,
        sender: &str,
        msg_id: &str,
    ) -> Result<Option<Vec<u8>>> {
        let found = self.get_msg_secret_with_ts(chat, sender, msg_id).await?;
        Ok(found.map(|(secret, _)| secret))
    }

    async fn get_msg_secret_with_ts(
        &self,
        chat: &str,
        sender: &str,
        msg_id: &str,
    ) -> Result<Option<(Vec<u8>, i64)>> {
        let key = joined(&[chat, sender, msg_id]);
        let found: Option<Secret> = self.get_as(Table::MessageSecrets, key)?;
        Ok(found.map(|found| (found.secret, found.message_ts)))
    }

    async fn delete_expired_msg_secrets(&self, cutoff_timestamp: i64) -> Result<u32> {
        let keeps = |_: &[u8], row: &Row| match from_json::<Secret>(&row.value) {
            Ok(secret) => secret.expires_at == 0 || secret.expires_at > cutoff_timestamp,
            Err(_unreadable) => false,
        };
        self.retain(Table::MessageSecrets, keeps).await
    }
}
