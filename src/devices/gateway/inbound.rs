//! What comes from a gateway: whole texts, put together from whatever pieces they came in.
//!
//! Decides what is no text that may come at all. What a text says is not looked at.

use std::collections::VecDeque;

use actix_ws::{CloseCode, Item, Message, MessageStream, ProtocolError};
use bytes::{Bytes, BytesMut};

use super::ending::Ending;

/// What a gateway may send while it waits for its session; then nothing more is read, and nobody sees that it leaves.
const EARLY_MAX: usize = 64;

/// See the module.
pub(super) struct Inbound {
    messages: MessageStream,
    length_max: usize,
    /// A text of which there is more to come.
    begun: BytesMut,
    /// What came before anybody asked for it.
    early: VecDeque<Incoming>,
}

/// What came.
pub(super) enum Incoming {
    /// A whole text, in memory of its own.
    Text(Bytes),
    /// A ping, to be answered with the same payload.
    Ping(Bytes),
    /// Something that says no more than that somebody is there.
    Heard,
    /// Nothing more comes.
    Ended(Ending),
}

impl Incoming {
    fn len(&self) -> usize {
        match self {
            Incoming::Text(bytes) | Incoming::Ping(bytes) => bytes.len(),
            Incoming::Heard | Incoming::Ended(_) => 0,
        }
    }
}

impl Inbound {
    /// Texts of at most so many bytes.
    pub(super) fn new(messages: MessageStream, length_max: usize) -> Inbound {
        Inbound {
            messages: messages.max_frame_size(length_max),
            length_max,
            begun: BytesMut::new(),
            early: VecDeque::new(),
        }
    }

    /// Waits for what comes next. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Incoming {
        match self.early.pop_front() {
            Some(incoming) => {
                if self.early.is_empty() {
                    self.early = VecDeque::new();
                }
                incoming
            }
            None => self.read_next().await,
        }
    }

    /// Waits until nothing more comes, and answers how that ended. What does come is kept for later, as much as there is room
    /// for. May be dropped and called again.
    pub(super) async fn lost(&mut self) -> Ending {
        while self.has_room() {
            match self.read_next().await {
                Incoming::Ended(ending) => return ending,
                incoming @ (Incoming::Text(_) | Incoming::Ping(_) | Incoming::Heard) => {
                    self.early.push_back(incoming);
                }
            }
        }
        std::future::pending().await
    }

    fn has_room(&self) -> bool {
        let bytes: usize = self.early.iter().map(Incoming::len).sum();
        self.early.len() < EARLY_MAX && bytes < self.length_max
    }

    async fn read_next(&mut self) -> Incoming {
        match self.messages.recv().await {
            Some(Ok(message)) => self.read(message),
            Some(Err(error)) => Incoming::Ended(broken(&error)),
            None => Incoming::Ended(Ending::Lost),
        }
    }

    /// Throws away what comes until nothing more does.
    pub(super) async fn until_ended(&mut self) {
        while let Some(Ok(message)) = self.messages.recv().await {
            if matches!(message, Message::Close(_)) {
                return;
            }
        }
    }

    fn read(&mut self, message: Message) -> Incoming {
        match message {
            // Copied: as a slice it would keep the whole buffer that it was read into.
            Message::Text(text) => Incoming::Text(Bytes::copy_from_slice(text.as_bytes())),
            Message::Continuation(Item::FirstText(piece)) => self.begin(&piece),
            Message::Continuation(Item::Continue(piece)) => self.go_on(&piece),
            Message::Continuation(Item::Last(piece)) => match self.go_on(&piece) {
                Incoming::Heard => self.finish(),
                other @ (Incoming::Text(_) | Incoming::Ping(_) | Incoming::Ended(_)) => other,
            },
            Message::Binary(_) | Message::Continuation(Item::FirstBinary(_)) => Incoming::Ended(
                Ending::Broken(CloseCode::Unsupported, "expected text frames only"),
            ),
            Message::Ping(payload) => Incoming::Ping(payload),
            Message::Pong(_) | Message::Nop => Incoming::Heard,
            Message::Close(_) => Incoming::Ended(Ending::Closed),
        }
    }

    fn begin(&mut self, piece: &[u8]) -> Incoming {
        self.begun = BytesMut::new();
        self.go_on(piece)
    }

    fn go_on(&mut self, piece: &[u8]) -> Incoming {
        if self.begun.len() + piece.len() > self.length_max {
            return Incoming::Ended(too_large());
        }
        self.begun.extend_from_slice(piece);
        Incoming::Heard
    }

    fn finish(&mut self) -> Incoming {
        let text = std::mem::take(&mut self.begun).freeze();
        if std::str::from_utf8(&text).is_err() {
            return Incoming::Ended(Ending::Broken(CloseCode::Invalid, "expected UTF-8"));
        }
        Incoming::Text(text)
    }
}

fn too_large() -> Ending {
    Ending::Broken(CloseCode::Size, "the frame is too large")
}

/// What is wrong with a stream that can be read no further.
fn broken(error: &ProtocolError) -> Ending {
    match error {
        ProtocolError::Overflow => too_large(),
        ProtocolError::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Ending::Broken(CloseCode::Invalid, "expected UTF-8 and no extensions")
        }
        ProtocolError::Io(_) => Ending::Lost,
        ProtocolError::UnmaskedFrame
        | ProtocolError::MaskedFrame
        | ProtocolError::InvalidOpcode(_)
        | ProtocolError::InvalidLength(_)
        | ProtocolError::BadOpCode
        | ProtocolError::ContinuationNotStarted
        | ProtocolError::ContinuationStarted
        | ProtocolError::ContinuationFragment(_) => {
            Ending::Broken(CloseCode::Protocol, "not what RFC 6455 allows")
        }
    }
}
