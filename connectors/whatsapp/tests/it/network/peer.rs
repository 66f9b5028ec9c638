//! Somebody on the network with one phone: has Signal keys, encrypts to the connector and decrypts from it.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use whatsapp_rust::{
    NodeBuilder,
    buffa::Message as _,
    store::{Device, signal_adapter::SignalProtocolStoreAdapter},
    wacore::{
        libsignal::{
            protocol::{
                CiphertextMessage, CiphertextMessageType, IdentityKey, KeyPair, PreKeyBundle,
                PreKeySignalMessage, ProtocolAddress, PublicKey, SignalMessage, UsePQRatchet,
                message_decrypt, message_encrypt, process_prekey_bundle,
            },
            store::record_helpers::new_pre_key_record,
        },
        messages::MessageUtils,
        store::{InMemoryBackend, signal_cache::SignalStoreCache},
    },
    wacore_binary::Node,
    waproto::whatsapp as wa,
};

use super::{attr, bytes_of, child, children};

/// The one key of a peer's for new sessions.
const PRE_KEY: u32 = 1;

/// See the module.
pub(crate) struct Peer {
    pub(crate) number: String,
    device: Device,
    pre_key: KeyPair,
    stores: SignalProtocolStoreAdapter,
    is_acquainted: bool,
}

impl Peer {
    pub(super) async fn new(number: &str) -> Peer {
        let device = Device::new(Arc::new(InMemoryBackend::new()));
        let pre_key = KeyPair::generate(&mut rand::rng());
        let record = new_pre_key_record(PRE_KEY, &pre_key).encode_to_vec();
        let stored = device.backend.store_prekey(PRE_KEY, &record, true).await;
        stored.expect("memory takes a key");
        let shared = Arc::new(async_lock::RwLock::new(device.clone()));
        Peer {
            number: number.to_owned(),
            device,
            pre_key,
            stores: SignalProtocolStoreAdapter::new(shared, Arc::new(SignalStoreCache::new())),
            is_acquainted: false,
        }
    }

    pub(crate) fn jid(&self) -> String {
        format!("{}@s.whatsapp.net", self.number)
    }

    /// The keys that sign for the account of this phone.
    pub(super) fn identity(&self) -> &KeyPair {
        &self.device.identity_key
    }

    /// The connector has other keys than before.
    pub(super) fn forget_connector(&mut self) {
        self.is_acquainted = false;
    }

    /// What the network gives to those who want to write to this peer.
    pub(super) fn bundle(&self, jid: &str) -> Node {
        let id = |id: u32| {
            NodeBuilder::new("id")
                .bytes(id.to_be_bytes()[1..].to_vec())
                .build()
        };
        let value = |key: &KeyPair| {
            let key = key.public_key.public_key_bytes().to_vec();
            NodeBuilder::new("value").bytes(key).build()
        };
        let identity = self.identity().public_key.public_key_bytes().to_vec();
        let signature = self.device.signed_pre_key_signature.to_vec();
        NodeBuilder::new("user")
            .attr("jid", jid)
            .children([
                NodeBuilder::new("registration")
                    .bytes(self.device.registration_id.to_be_bytes().to_vec())
                    .build(),
                NodeBuilder::new("type").bytes(vec![5]).build(),
                NodeBuilder::new("identity").bytes(identity).build(),
                NodeBuilder::new("key")
                    .children([id(PRE_KEY), value(&self.pre_key)])
                    .build(),
                NodeBuilder::new("skey")
                    .children([
                        id(self.device.signed_pre_key_id),
                        value(&self.device.signed_pre_key),
                        NodeBuilder::new("signature").bytes(signature).build(),
                    ])
                    .build(),
            ])
            .build()
    }

    /// Encrypts a message to the connector; the first time with keys that it has uploaded.
    pub(super) async fn encrypt(
        &mut self,
        upload: &Node,
        nth_key: usize,
        message: &wa::Message,
    ) -> anyhow::Result<Node> {
        let address = connector();
        if !self.is_acquainted {
            process_prekey_bundle(
                &address,
                &mut self.stores.session_store,
                &mut self.stores.identity_store,
                &bundle_of(upload, nth_key)?,
                &mut rand::rng(),
                UsePQRatchet::No,
            )
            .await?;
            self.is_acquainted = true;
        }
        let encrypted = message_encrypt(
            &MessageUtils::encode_and_pad(message),
            &address,
            &mut self.stores.session_store,
            &mut self.stores.identity_store,
        )
        .await?;
        let kind = match encrypted.message_type() {
            CiphertextMessageType::PreKey => "pkmsg",
            _ => "msg",
        };
        Ok(NodeBuilder::new("enc")
            .attr("v", "2")
            .attr("type", kind)
            .bytes(encrypted.serialize().to_vec())
            .build())
    }

    /// What a stanza of the connector says to this peer.
    pub(super) async fn decrypt(&mut self, stanza: &Node) -> anyhow::Result<wa::Message> {
        let enc = self
            .encrypted_for_me(stanza)
            .context("nothing for this peer")?;
        let bytes = bytes_of(enc);
        let encrypted = match attr(enc, "type").as_str() {
            "pkmsg" => {
                CiphertextMessage::PreKeySignalMessage(PreKeySignalMessage::try_from(bytes)?)
            }
            "msg" => CiphertextMessage::SignalMessage(SignalMessage::try_from(bytes)?),
            other => bail!("a message of type {other}"),
        };
        let opened = message_decrypt(
            &encrypted,
            &connector(),
            &mut self.stores.session_store,
            &mut self.stores.identity_store,
            &mut self.stores.pre_key_store,
            &self.stores.signed_pre_key_store,
            &mut rand::rng(),
            UsePQRatchet::No,
        )
        .await?;
        self.is_acquainted = true;
        let plain = opened.plaintext;
        let length = MessageUtils::unpadded_message_len(&plain, 2)?;
        Ok(wa::Message::decode_from_slice(&plain[..length])?)
    }

    fn encrypted_for_me<'a>(&self, stanza: &'a Node) -> Option<&'a Node> {
        if let Some(enc) = child(stanza, "enc") {
            return Some(enc);
        }
        let to = children(child(stanza, "participants")?)
            .iter()
            .find(|to| attr(to, "jid").starts_with(&self.number));
        child(to?, "enc")
    }
}

fn connector() -> ProtocolAddress {
    ProtocolAddress::new("connector", 0.into())
}

/// The keys that the connector has uploaded, with one of those for one session each.
fn bundle_of(upload: &Node, nth_key: usize) -> anyhow::Result<PreKeyBundle> {
    let named = |parent: &Node, tag: &str| -> anyhow::Result<Vec<u8>> {
        let found = child(parent, tag).with_context(|| format!("no <{tag}>"))?;
        Ok(bytes_of(found).to_vec())
    };
    let key_of = |node: &Node| -> anyhow::Result<(u32, PublicKey)> {
        let id = named(node, "id")?;
        let id = id.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
        let value = named(node, "value")?;
        Ok((id, PublicKey::from_djb_public_key_bytes(&value)?))
    };
    let registration: [u8; 4] = named(upload, "registration")?
        .try_into()
        .ok()
        .context("a registration has four bytes")?;
    let one = child(upload, "list").and_then(|list| children(list).get(nth_key));
    let (pre_key, public) = key_of(one.context("no key for a session")?)?;
    let signed = child(upload, "skey").context("no signed key")?;
    let (signed_id, signed_public) = key_of(signed)?;
    Ok(PreKeyBundle::new(
        u32::from_be_bytes(registration),
        0.into(),
        Some((pre_key.into(), public)),
        signed_id.into(),
        signed_public,
        named(signed, "signature")?,
        IdentityKey::new(PublicKey::from_djb_public_key_bytes(&named(
            upload, "identity",
        )?)?),
    )?)
}
