//! What the network's own clients keep beside keys: names, devices, groups, tokens, and messages that wait.
//!
//! What the network gives again is not waited for, nor is the end of a message's waiting: the engine knows a message that comes twice.

use async_trait::async_trait;
use whatsapp_rust::wacore::store::{
    error::Result,
    traits::{
        DeviceListRecord, LidPnMappingEntry, PendingInboundKey, PendingInboundRow, ProtocolStore,
        TcTokenEntry,
    },
};

use super::{VaultBackend, from_json, joined, to_json, unix_seconds};
use crate::vault::{Row, Table};

fn group_prefix(group_jid: &str) -> Vec<u8> {
    joined(&[group_jid, ""])
}

#[async_trait]
impl ProtocolStore for VaultBackend {
    async fn get_sender_key_devices(&self, group_jid: &str) -> Result<Vec<(String, bool)>> {
        let prefix = group_prefix(group_jid);
        let rows = self.vault.scan(Table::SenderKeyDevices, &prefix);
        let rows = rows.into_iter().map(|(key, row)| {
            let device = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            (device, row.value == [1])
        });
        Ok(rows.collect())
    }

    async fn set_sender_key_status(&self, group_jid: &str, entries: &[(&str, bool)]) -> Result<()> {
        let rows = entries
            .iter()
            .map(|(device, has_key)| (joined(&[group_jid, device]), vec![u8::from(*has_key)]));
        self.put_many(Table::SenderKeyDevices, rows).await
    }

    async fn clear_sender_key_devices(&self, group_jid: &str) -> Result<()> {
        let prefix = group_prefix(group_jid);
        let keeps = |key: &[u8], _: &Row| !key.starts_with(&prefix);
        self.retain(Table::SenderKeyDevices, keeps).await?;
        Ok(())
    }

    async fn delete_sender_key_device_rows(&self, device_jids: &[&str]) -> Result<()> {
        let is_named = |key: &[u8]| {
            let device = key.rsplit(|byte| *byte == 0).next();
            device_jids.iter().any(|jid| Some(jid.as_bytes()) == device)
        };
        self.retain(Table::SenderKeyDevices, |key, _| !is_named(key))
            .await?;
        Ok(())
    }

    async fn clear_all_sender_key_devices(&self) -> Result<()> {
        self.retain(Table::SenderKeyDevices, |_, _| false).await?;
        Ok(())
    }

    async fn get_lid_mapping(&self, lid: &str) -> Result<Option<LidPnMappingEntry>> {
        self.get_as(Table::LidMappings, lid)
    }

    async fn get_pn_mapping(&self, phone: &str) -> Result<Option<LidPnMappingEntry>> {
        let all: Vec<LidPnMappingEntry> = self.all_as(Table::LidMappings)?;
        let theirs = all.into_iter().filter(|entry| entry.phone_number == phone);
        Ok(theirs.max_by_key(|entry| entry.updated_at))
    }

    async fn put_lid_mapping(&self, entry: &LidPnMappingEntry) -> Result<()> {
        self.put_as(Table::LidMappings, &entry.lid, entry).await
    }

    async fn put_lid_mappings(&self, entries: &[LidPnMappingEntry]) -> Result<()> {
        let rows: Result<Vec<_>> = entries
            .iter()
            .map(|entry| Ok((entry.lid.clone().into_bytes(), to_json(entry)?)))
            .collect();
        self.put_many(Table::LidMappings, rows?).await
    }

    async fn get_all_lid_mappings(&self) -> Result<Vec<LidPnMappingEntry>> {
        self.all_as(Table::LidMappings)
    }

    async fn save_base_key(&self, address: &str, message_id: &str, base_key: &[u8]) -> Result<()> {
        let key = joined(&[address, message_id]);
        self.put_later(Table::BaseKeys, key, base_key.to_vec())
    }

    async fn has_same_base_key(
        &self,
        address: &str,
        message_id: &str,
        current_base_key: &[u8],
    ) -> Result<bool> {
        let saved = self.get(Table::BaseKeys, joined(&[address, message_id]));
        Ok(saved.is_some_and(|saved| saved == current_base_key))
    }

    async fn delete_base_key(&self, address: &str, message_id: &str) -> Result<()> {
        self.remove(Table::BaseKeys, joined(&[address, message_id]))
            .await
    }

    async fn update_device_list(&self, record: DeviceListRecord) -> Result<()> {
        self.put_later(Table::DeviceLists, &record.user, to_json(&record)?)
    }

    async fn update_device_lists(&self, records: Vec<DeviceListRecord>) -> Result<()> {
        for record in &records {
            self.put_later(Table::DeviceLists, &record.user, to_json(record)?)?;
        }
        Ok(())
    }

    async fn get_devices(&self, user: &str) -> Result<Option<DeviceListRecord>> {
        self.get_as(Table::DeviceLists, user)
    }

    async fn delete_devices(&self, user: &str) -> Result<()> {
        self.remove(Table::DeviceLists, user).await
    }

    async fn get_group_metadata(&self, group_jid: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.get(Table::GroupMetadata, group_jid))
    }

    async fn put_group_metadata(&self, group_jid: &str, blob: &[u8]) -> Result<()> {
        self.put_later(Table::GroupMetadata, group_jid, blob.to_vec())
    }

    async fn delete_group_metadata(&self, group_jid: &str) -> Result<()> {
        self.remove(Table::GroupMetadata, group_jid).await
    }

    async fn get_tc_token(&self, jid: &str) -> Result<Option<TcTokenEntry>> {
        self.get_as(Table::TrustTokens, jid)
    }

    async fn put_tc_token(&self, jid: &str, entry: &TcTokenEntry) -> Result<()> {
        self.put_as(Table::TrustTokens, jid, entry).await
    }

    async fn delete_tc_token(&self, jid: &str) -> Result<()> {
        self.remove(Table::TrustTokens, jid).await
    }

    async fn get_all_tc_token_jids(&self) -> Result<Vec<String>> {
        let rows = self.vault.scan(Table::TrustTokens, b"");
        let jids = rows
            .into_iter()
            .map(|(key, _)| String::from_utf8_lossy(&key).into_owned());
        Ok(jids.collect())
    }

    async fn delete_expired_tc_tokens(&self, token_cutoff: i64, sender_cutoff: i64) -> Result<u32> {
        let keeps = |_: &[u8], row: &Row| match from_json::<TcTokenEntry>(&row.value) {
            Ok(entry) => {
                let has_token = !entry.token.is_empty() && entry.token_timestamp >= token_cutoff;
                has_token || entry.sender_timestamp.is_some_and(|at| at >= sender_cutoff)
            }
            Err(_unreadable) => false,
        };
        self.retain(Table::TrustTokens, keeps).await
    }

    async fn touch_tc_token_sender_timestamp(
        &self,
        jid: &str,
        sender_timestamp: i64,
    ) -> Result<()> {
        self.change_token(jid, |entry| match entry {
            Some(entry) => TcTokenEntry {
                sender_timestamp: entry.sender_timestamp.max(Some(sender_timestamp)),
                ..entry
            },
            None => TcTokenEntry {
                token: Vec::new(),
                token_timestamp: sender_timestamp,
                sender_timestamp: Some(sender_timestamp),
            },
        })
        .await
    }

    async fn store_received_tc_token(
        &self,
        jid: &str,
        token: &[u8],
        token_timestamp: i64,
    ) -> Result<()> {
        let received = |sender_timestamp| TcTokenEntry {
            token: token.to_vec(),
            token_timestamp,
            sender_timestamp,
        };
        self.change_token(jid, |entry| match entry {
            // A token that is newer than this one stays.
            Some(entry) if !entry.token.is_empty() && entry.token_timestamp > token_timestamp => {
                entry
            }
            Some(entry) => received(entry.sender_timestamp),
            None => received(None),
        })
        .await
    }

    async fn store_sent_message(
        &self,
        chat_jid: &str,
        message_id: &str,
        payload: &[u8],
    ) -> Result<()> {
        let key = joined(&[chat_jid, message_id]);
        self.put_later(Table::SentMessages, key, payload.to_vec())
    }

    async fn take_sent_message(&self, chat_jid: &str, message_id: &str) -> Result<Option<Vec<u8>>> {
        let key = (Table::SentMessages, joined(&[chat_jid, message_id]));
        let taken = self.change_later(|rows| rows.remove(&key))?;
        Ok(taken.map(|row| row.value))
    }

    async fn delete_expired_sent_messages(&self, cutoff_timestamp: i64) -> Result<u32> {
        self.retain(Table::SentMessages, |_, row| row.at >= cutoff_timestamp)
            .await
    }

    async fn store_pending_inbound(
        &self,
        chat: &str,
        sender: &str,
        id: &str,
        message: &[u8],
    ) -> Result<()> {
        let key = joined(&[chat, sender, id]);
        self.put(Table::PendingInbound, key, message.to_vec()).await
    }

    async fn get_pending_inbound(
        &self,
        chat: &str,
        sender: &str,
        id: &str,
    ) -> Result<Option<Vec<u8>>> {
        Ok(self.get(Table::PendingInbound, joined(&[chat, sender, id])))
    }

    async fn delete_pending_inbound(&self, chat: &str, sender: &str, id: &str) -> Result<()> {
        let key = (Table::PendingInbound, joined(&[chat, sender, id]));
        self.change_later(|rows| {
            rows.remove(&key);
        })
    }

    async fn delete_expired_pending_inbound(&self, cutoff_timestamp: i64) -> Result<u32> {
        self.retain(Table::PendingInbound, |_, row| row.at >= cutoff_timestamp)
            .await
    }

    async fn store_pending_inbound_batch(&self, rows: &[PendingInboundRow<'_>]) -> Result<()> {
        let rows = rows.iter().map(|row| {
            (
                joined(&[row.chat, row.sender, row.id]),
                row.message.to_vec(),
            )
        });
        self.put_many(Table::PendingInbound, rows).await
    }

    async fn delete_pending_inbound_batch(&self, keys: &[PendingInboundKey<'_>]) -> Result<()> {
        self.change_later(|rows| {
            for key in keys {
                let key = joined(&[key.chat, key.sender, key.id]);
                rows.remove(&(Table::PendingInbound, key));
            }
        })
    }
}

impl VaultBackend {
    /// Reads and writes one contact's token in one step.
    async fn change_token(
        &self,
        jid: &str,
        change: impl FnOnce(Option<TcTokenEntry>) -> TcTokenEntry,
    ) -> Result<()> {
        let key = (Table::TrustTokens, jid.as_bytes().to_vec());
        let at = unix_seconds();
        self.change(|rows| {
            let before = rows
                .get(&key)
                .map(|row| from_json(&row.value))
                .transpose()?;
            let value = to_json(&change(before))?;
            rows.insert(key, Row { value, at });
            Ok(())
        })
        .await?
    }
}
