//! The account's own phone: it lets the connector in, and shares with it what all devices of the account share.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use whatsapp_rust::{
    NodeBuilder,
    buffa::{Message as _, MessageField},
    waproto::whatsapp::{self as wa, history_sync::HistorySyncType, message::protocol_message},
};

use super::{NUMBER, Network, SERVER, child, iq, peer::Peer};

impl Network {
    /// The phone scans a QR code, and stays at hand until the connector has logged in.
    pub(crate) async fn scan(&self, qr: &str) {
        let parts: Vec<&str> = qr.split(',').collect();
        let decoded = |part: usize| BASE64_STANDARD.decode(parts[part]).expect("base64");
        let (identity, logins) = {
            let mut state = self.shared.state();
            state.is_paired = true;
            // What an earlier pairing has brought is not meant.
            state.received.clear();
            state.upload = None;
            state.peers.values_mut().for_each(Peer::forget_connector);
            let phone = &state.peers[NUMBER];
            let identity = device_identity(phone, &decoded(2), &decoded(3));
            (identity, state.logins)
        };
        let success = NodeBuilder::new("pair-success").children([
            NodeBuilder::new("device-identity").bytes(identity).build(),
            NodeBuilder::new("platform").attr("name", "android").build(),
            NodeBuilder::new("biz").attr("name", "Crew").build(),
            NodeBuilder::new("device")
                .attr("jid", format!("{NUMBER}:7@{SERVER}"))
                .attr("lid", format!("9{NUMBER}:7@lid"))
                .build(),
        ]);
        self.send(iq("set", "pair", [success.build()]));
        self.sent(|node| child(node, "pair-device-sign").is_some())
            .await;
        // The client goes away by itself, and comes back as who it is now.
        self.send(NodeBuilder::new("stream:error").attr("code", "515").build());
        self.logins(logins + 1).await;
        self.share_keys().await;
    }

    /// Without these keys a client that was just paired waits for them before it says that it is connected.
    async fn share_keys(&self) {
        let key = wa::message::AppStateSyncKey {
            key_id: MessageField::some(wa::message::AppStateSyncKeyId {
                key_id: Some(vec![1; 6]),
            }),
            key_data: MessageField::some(wa::message::AppStateSyncKeyData {
                key_data: Some(vec![2; 32]),
                fingerprint: MessageField::some(Default::default()),
                timestamp: Some(1_760_000_000_000),
            }),
        };
        let share = wa::message::ProtocolMessage {
            r#type: Some(protocol_message::Type::APP_STATE_SYNC_KEY_SHARE),
            app_state_sync_key_share: MessageField::some(wa::message::AppStateSyncKeyShare {
                keys: vec![key],
            }),
            ..Default::default()
        };
        self.tell_connector("KEYS", share).await;
    }

    /// The phone sends an older message of this chat, as it does when it is asked for.
    pub(crate) async fn share_history(&self, chat: &str, message: wa::WebMessageInfo) {
        let history = wa::HistorySync {
            sync_type: HistorySyncType::ON_DEMAND,
            conversations: vec![wa::Conversation {
                id: chat.to_owned(),
                messages: vec![wa::HistorySyncMsg {
                    message: MessageField::some(message),
                    msg_order_id: Some(1),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut deflated = ZlibEncoder::new(Vec::new(), Compression::fast());
        deflated
            .write_all(&history.encode_to_vec())
            .expect("memory takes it");
        let deflated = deflated.finish().expect("memory takes it");
        let notification = wa::message::HistorySyncNotification {
            file_length: Some(deflated.len() as u64),
            sync_type: Some(wa::message::HistorySyncType::ON_DEMAND),
            initial_hist_bootstrap_inline_payload: Some(deflated),
            ..Default::default()
        };
        let share = wa::message::ProtocolMessage {
            r#type: Some(protocol_message::Type::HISTORY_SYNC_NOTIFICATION),
            history_sync_notification: MessageField::some(notification),
            ..Default::default()
        };
        self.tell_connector("HISTORY", share).await;
    }

    /// What only the account's own devices say to each other.
    async fn tell_connector(&self, id: &str, what: wa::message::ProtocolMessage) {
        let message = wa::Message {
            protocol_message: MessageField::some(what),
            ..Default::default()
        };
        let stanza = self.encrypted(NUMBER, id, &message).await;
        let stanza = stanza.attr("type", "text").attr("category", "peer");
        self.deliver(stanza.build());
    }
}

/// The phone's word for a device with this identity key, sealed with the secret of its QR code.
fn device_identity(phone: &Peer, identity: &[u8], secret: &[u8]) -> Vec<u8> {
    let details = wa::ADVDeviceIdentity {
        raw_id: Some(1),
        timestamp: Some(1),
        key_index: Some(1),
        ..Default::default()
    };
    let details = details.encode_to_vec();
    let signed = [&[6, 0], details.as_slice(), identity].concat();
    let key = phone.identity();
    let signature = key
        .private_key
        .calculate_signature(&signed, &mut rand::rng());
    let signed = wa::ADVSignedDeviceIdentity {
        details: Some(details),
        account_signature_key: Some(key.public_key.public_key_bytes().to_vec()),
        account_signature: Some(signature.expect("the key is valid").to_vec()),
        ..Default::default()
    };
    let signed = signed.encode_to_vec();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length will do");
    mac.update(&signed);
    let sealed = wa::ADVSignedDeviceIdentityHMAC {
        hmac: Some(mac.finalize().into_bytes().to_vec()),
        details: Some(signed),
        ..Default::default()
    };
    sealed.encode_to_vec()
}
