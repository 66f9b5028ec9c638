//! One client's connection to the fake network: the Noise handshake as the server does it, then stanzas both ways.
//!
//! Speaks the handshake of a new account (XX) and that of one that knows the server (IK). Knows no stanza.

use anyhow::{Context as _, anyhow, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Bytes, Message},
};
use whatsapp_rust::{
    buffa::{Message as _, MessageField},
    wacore::{
        framing::{FrameDecoder, encode_frame},
        handshake::NoiseHandshake,
        libsignal::protocol::KeyPair,
        noise::NoiseCipher,
    },
    wacore_binary::{
        Node,
        consts::{NOISE_PATTERN_IK, NOISE_PATTERN_XX, WA_CONN_HEADER},
        marshal::{marshal, unmarshal_ref},
        util::unpack,
    },
    waproto::whatsapp as wa,
};

/// The server's long-lived key, and a certificate for it that nobody has signed.
pub(super) struct Identity {
    pair: KeyPair,
    certificate: Vec<u8>,
}

/// See the module.
pub(super) struct Wire {
    socket: WebSocketStream<TcpStream>,
    frames: FrameDecoder,
    from_client: NoiseCipher,
    to_client: NoiseCipher,
    received: u32,
    sent: u32,
    /// What the client said when it logged in.
    pub(super) login: wa::ClientPayload,
}

impl Identity {
    pub(super) fn new() -> Identity {
        let pair = KeyPair::generate(&mut rand::rng());
        let details =
            |serial, issuer_serial, key: Vec<u8>| wa::cert_chain::noise_certificate::Details {
                serial: Some(serial),
                issuer_serial: Some(issuer_serial),
                key: Some(key),
                not_before: Some(1_700_000_000),
                not_after: Some(4_000_000_000),
            };
        let signed = |details: wa::cert_chain::noise_certificate::Details| {
            MessageField::some(wa::cert_chain::NoiseCertificate {
                details: Some(details.encode_to_vec()),
                signature: Some(vec![0; 64]),
            })
        };
        let chain = wa::CertChain {
            intermediate: signed(details(1, 0, vec![0xcc; 32])),
            leaf: signed(details(2, 1, pair.public_key.public_key_bytes().to_vec())),
        };
        Identity {
            certificate: chain.encode_to_vec(),
            pair,
        }
    }

    fn public(&self) -> &[u8] {
        self.pair.public_key.public_key_bytes()
    }
}

impl Wire {
    /// Does the server's part of the handshake.
    pub(super) async fn accept(stream: TcpStream, identity: &Identity) -> anyhow::Result<Wire> {
        let mut socket = tokio_tungstenite::accept_async(stream).await?;
        let mut frames = FrameDecoder::new();
        let mut is_first = true;
        let hello = next_frame(&mut socket, &mut frames, &mut is_first).await?;
        let hello = wa::HandshakeMessage::decode_from_slice(&hello)?;
        let hello = hello
            .client_hello
            .into_option()
            .context("no client hello")?;
        let theirs: [u8; 32] = key(hello.ephemeral)?;
        let ours = KeyPair::generate(&mut rand::rng());
        let (noise, login) = match (hello.r#static, hello.payload) {
            (Some(their_static), Some(payload)) => {
                let known = Known {
                    theirs,
                    their_static,
                    payload,
                };
                known.answer(&mut socket, identity, &ours).await?
            }
            _ => {
                let mut noise = NoiseHandshake::new(NOISE_PATTERN_XX, &WA_CONN_HEADER)?;
                noise.authenticate(&theirs);
                noise.authenticate(ours.public_key.public_key_bytes());
                noise.mix_shared_secret(ours.private_key.serialize(), &theirs)?;
                let our_static = noise.encrypt(identity.public())?;
                noise.mix_shared_secret(identity.pair.private_key.serialize(), &theirs)?;
                let certificate = noise.encrypt(&identity.certificate)?;
                say_hello(&mut socket, &ours, Some(our_static), certificate).await?;
                let finish = next_frame(&mut socket, &mut frames, &mut is_first).await?;
                let finish = wa::HandshakeMessage::decode_from_slice(&finish)?;
                let finish = finish
                    .client_finish
                    .into_option()
                    .context("no client finish")?;
                let their_static = noise.decrypt(&finish.r#static.context("no static key")?)?;
                noise.mix_shared_secret(ours.private_key.serialize(), &their_static)?;
                let login = noise.decrypt(&finish.payload.context("no payload")?)?;
                (noise, login)
            }
        };
        // The client's writing end is our reading end.
        let (from_client, to_client) = noise.finish()?;
        Ok(Wire {
            socket,
            frames,
            from_client,
            to_client,
            received: 0,
            sent: 0,
            login: wa::ClientPayload::decode_from_slice(&login)?,
        })
    }

    /// The next stanza. An error when the client is gone.
    pub(super) async fn receive(&mut self) -> anyhow::Result<Node> {
        let mut is_first = false;
        let mut frame = next_frame(&mut self.socket, &mut self.frames, &mut is_first).await?;
        self.from_client
            .decrypt_in_place_with_counter(self.received, &mut frame)?;
        self.received += 1;
        let plain = unpack(&frame)?;
        Ok(unmarshal_ref(&plain)?.to_owned())
    }

    /// Sends a stanza.
    pub(super) async fn send(&mut self, node: &Node) -> anyhow::Result<()> {
        let sealed = self
            .to_client
            .encrypt_with_counter(self.sent, &marshal(node)?)?;
        self.sent += 1;
        send_frame(&mut self.socket, &sealed).await
    }
}

/// The hello of a client that knows the server's key.
struct Known {
    theirs: [u8; 32],
    their_static: Vec<u8>,
    payload: Vec<u8>,
}

impl Known {
    async fn answer(
        self,
        socket: &mut WebSocketStream<TcpStream>,
        identity: &Identity,
        ours: &KeyPair,
    ) -> anyhow::Result<(NoiseHandshake, Vec<u8>)> {
        let mut noise = NoiseHandshake::new(NOISE_PATTERN_IK, &WA_CONN_HEADER)?;
        noise.authenticate(identity.public());
        noise.authenticate(&self.theirs);
        noise.mix_shared_secret(identity.pair.private_key.serialize(), &self.theirs)?;
        let their_static = noise.decrypt(&self.their_static)?;
        noise.mix_shared_secret(identity.pair.private_key.serialize(), &their_static)?;
        let login = noise.decrypt(&self.payload)?;
        noise.authenticate(ours.public_key.public_key_bytes());
        noise.mix_shared_secret(ours.private_key.serialize(), &self.theirs)?;
        noise.mix_shared_secret(ours.private_key.serialize(), &their_static)?;
        let certificate = noise.encrypt(&identity.certificate)?;
        say_hello(socket, ours, None, certificate).await?;
        Ok((noise, login))
    }
}

async fn say_hello(
    socket: &mut WebSocketStream<TcpStream>,
    ours: &KeyPair,
    our_static: Option<Vec<u8>>,
    payload: Vec<u8>,
) -> anyhow::Result<()> {
    let hello = wa::HandshakeMessage {
        server_hello: MessageField::some(wa::handshake_message::ServerHello {
            ephemeral: Some(ours.public_key.public_key_bytes().to_vec()),
            r#static: our_static,
            payload: Some(payload),
            ..Default::default()
        }),
        ..Default::default()
    };
    send_frame(socket, &hello.encode_to_vec()).await
}

async fn send_frame(socket: &mut WebSocketStream<TcpStream>, payload: &[u8]) -> anyhow::Result<()> {
    let frame = encode_frame(payload, None)?;
    Ok(socket.send(Message::Binary(Bytes::from(frame))).await?)
}

/// The next frame; what stands before the first one is dropped.
async fn next_frame(
    socket: &mut WebSocketStream<TcpStream>,
    frames: &mut FrameDecoder,
    is_first: &mut bool,
) -> anyhow::Result<Vec<u8>> {
    loop {
        if let Some(frame) = frames.decode_frame() {
            return Ok(frame.to_vec());
        }
        let message = socket.next().await.context("the client is gone")??;
        let Message::Binary(bytes) = message else {
            if message.is_close() {
                bail!("the client said goodbye");
            }
            continue;
        };
        let mut bytes = &bytes[..];
        if std::mem::take(is_first) {
            let start = bytes
                .windows(WA_CONN_HEADER.len())
                .position(|window| window == WA_CONN_HEADER);
            let start = start.ok_or_else(|| anyhow!("the client did not say what it speaks"))?;
            bytes = &bytes[start + WA_CONN_HEADER.len()..];
        }
        frames.feed(bytes);
    }
}

fn key(bytes: Option<Vec<u8>>) -> anyhow::Result<[u8; 32]> {
    let bytes = bytes.context("a key is missing")?;
    ensure!(bytes.len() == 32, "a key has {} bytes", bytes.len());
    bytes
        .try_into()
        .map_err(|_length| anyhow!("a key has not 32 bytes"))
}
