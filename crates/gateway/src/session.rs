//! One session: says hello, then passes frames in both directions until it ends.
//!
//! Never waits for one direction while the other could go on: the engine stops reading when it has too much.

use std::{collections::VecDeque, future::poll_fn, time::Duration};

use bytes::Bytes;
use domain::device::{
    ByeReason,
    frame::{FromGateway, ToGateway},
};
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tracing::warn;

use crate::{
    dial::Socket,
    ended::{Ended, EventError, Status},
    task::{Task, stopped},
};

/// How long the engine may take to open the session after hello.
const WELCOME_WITHIN: Duration = Duration::from_secs(20);
/// How long a goodbye may take.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);
/// So many heartbeats without a word from the engine mean that nobody is there.
const SILENT_HEARTBEATS: u32 = 3;
/// Heartbeats that the engine may ask for, in seconds.
const HEARTBEAT_SECONDS: std::ops::RangeInclusive<u32> = 1..=3_600;

/// How a session ended.
#[derive(Debug)]
pub(crate) enum Left {
    /// Over for good.
    Ended(Ended),
    /// The engine asked to come back.
    Asked,
    /// Broken.
    Lost(String),
}

pub(crate) struct Session<'a> {
    task: &'a mut Task,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    /// Frames that go before all others.
    urgent: VecDeque<Utf8Bytes>,
    /// Whether something was written that is not on the wire yet.
    is_unflushed: bool,
    heartbeat: Duration,
    heard: Instant,
    spoke: Instant,
}

impl<'a> Session<'a> {
    pub(crate) fn new(task: &'a mut Task, socket: Socket) -> Session<'a> {
        let (sink, stream) = socket.split();
        let now = Instant::now();
        Session {
            task,
            sink,
            stream,
            urgent: VecDeque::new(),
            is_unflushed: false,
            heartbeat: WELCOME_WITHIN,
            heard: now,
            spoke: now,
        }
    }

    /// Holds the session until it ends.
    pub(crate) async fn hold(mut self) -> Left {
        let mut stop = self.task.stop.clone();
        let opened = tokio::select! {
            () = stopped(&mut stop) => Err(Left::Ended(Ended::Closed)),
            opened = timeout(WELCOME_WITHIN, self.open()) => opened
                .unwrap_or_else(|_elapsed| Err(Left::Lost("no welcome came".to_owned()))),
        };
        let left = match opened {
            Ok(()) => self.converse(&mut stop).await,
            Err(left) => left,
        };
        if matches!(left, Left::Ended(_) | Left::Asked) {
            // The other side learns that this was meant; if it does not, nothing is lost.
            drop(timeout(GOODBYE_WITHIN, self.say_goodbye()).await);
        }
        left
    }

    /// Closes the connection, and waits until the engine has closed it too: of a process that ends before, the engine may see nothing
    /// but that the connection is gone. What the engine had taken before it heard of that, it says until then.
    async fn say_goodbye(&mut self) -> Result<(), Error> {
        self.sink.close().await?;
        while let Some(message) = self.stream.next().await {
            let Message::Text(text) = message? else {
                continue;
            };
            // What is stored is not said to be lost. Nothing else counts any more.
            match ToGateway::parse(&Bytes::from(text)) {
                Ok(frame @ (ToGateway::Ack { .. } | ToGateway::Nack { .. })) => {
                    take(self.task, frame).ok();
                }
                Ok(
                    ToGateway::Welcome { .. }
                    | ToGateway::Command(_)
                    | ToGateway::Bye(_)
                    | ToGateway::Pong,
                )
                | Err(_) => {}
            }
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Left> {
        let hello = FromGateway::Hello {
            gateway: self.task.settings.name.clone(),
        };
        self.sink
            .send(Message::Text(hello.write().into()))
            .await
            .map_err(|error| lost(&error))?;
        loop {
            let Some(frame) = read(self.stream.next().await)? else {
                continue;
            };
            match frame {
                ToGateway::Welcome {
                    fence,
                    heartbeat_seconds,
                    ..
                } => {
                    let seconds = heartbeat_seconds
                        .clamp(*HEARTBEAT_SECONDS.start(), *HEARTBEAT_SECONDS.end());
                    self.heartbeat = Duration::from_secs(seconds.into());
                    self.task.unacked.begin();
                    self.task.said.lock(crate::reports::Reports::begin);
                    self.task.status.send_replace(Status::Open { fence });
                    return Ok(());
                }
                ToGateway::Bye(reason) => return Err(left_by(reason)),
                ToGateway::Nack { code, message, .. } => {
                    return Err(Left::Lost(format!(
                        "hello was refused with {code}: {message}"
                    )));
                }
                ToGateway::Command(_) | ToGateway::Ack { .. } | ToGateway::Pong => {}
            }
        }
    }

    async fn converse(&mut self, stop: &mut watch::Receiver<bool>) -> Left {
        self.heard = Instant::now();
        self.spoke = self.heard;
        let mut check_at = self.heard + self.ping_after();
        let said = std::sync::Arc::clone(&self.task.said);
        loop {
            let has_frame = self.has_frame();
            let has_room = self.task.unacked.has_room();
            let step = tokio::select! {
                () = stopped(stop) => Err(Left::Ended(Ended::Closed)),
                message = self.stream.next() => read(message).and_then(|frame| {
                    self.heard = Instant::now();
                    frame.map_or(Ok(()), |frame| take(self.task, frame))
                }),
                written = write(&mut self.sink, has_frame, self.is_unflushed) => {
                    written.map_err(|error| lost(&error)).and_then(|()| self.feed())
                }
                event = self.task.events.recv(), if has_room => match event {
                    Some(event) => {
                        self.task.unacked.push(event);
                        Ok(())
                    }
                    None => Err(Left::Ended(Ended::Closed)),
                },
                () = said.news.notified() => Ok(()),
                () = self.task.commands.finish_one() => Ok(()),
                () = sleep_until(check_at) => self.beat().map(|next| check_at = next),
            };
            if let Err(left) = step {
                return left;
            }
        }
    }

    fn has_frame(&self) -> bool {
        !self.urgent.is_empty()
            || self.task.said.lock(|reports| reports.is_waiting())
            || self.task.commands.has_result()
            || self.task.unacked.has_unsent()
    }

    /// Gives the next frame to the socket, which has room for it; without one the socket was flushed.
    fn feed(&mut self) -> Result<(), Left> {
        let next = self
            .urgent
            .pop_front()
            .or_else(|| {
                let report = self.task.said.lock(crate::reports::Reports::next)?;
                Some(FromGateway::State(report).write().into())
            })
            .or_else(|| self.task.commands.next_result())
            .or_else(|| self.task.unacked.next_unsent());
        self.is_unflushed = next.is_some();
        let Some(text) = next else {
            return Ok(());
        };
        self.spoke = Instant::now();
        self.sink
            .start_send_unpin(Message::Text(text))
            .map_err(|error| lost(&error))
    }

    /// Looks whether the engine is still there and whether it should hear something. Answers when to look again.
    fn beat(&mut self) -> Result<Instant, Left> {
        let now = Instant::now();
        let silent_at = self.heard + self.heartbeat * SILENT_HEARTBEATS;
        if now >= silent_at {
            return Err(Left::Lost("the engine is silent".to_owned()));
        }
        // Without an answer to the last ping another one in the queue would say nothing more.
        if now >= self.spoke + self.ping_after() && self.urgent.is_empty() {
            self.urgent.push_back(FromGateway::Ping.write().into());
            self.spoke = now;
        }
        Ok(silent_at.min(self.spoke + self.ping_after()))
    }

    /// A little earlier than the engine asks for, so that it never waits in vain.
    fn ping_after(&self) -> Duration {
        self.heartbeat * 3 / 4
    }
}

/// Waits until the socket can take a frame, or until what was given to it is on the wire. May be dropped at any time.
async fn write(
    sink: &mut SplitSink<Socket, Message>,
    has_frame: bool,
    is_unflushed: bool,
) -> Result<(), Error> {
    if has_frame {
        poll_fn(|cx| sink.poll_ready_unpin(cx)).await
    } else if is_unflushed {
        poll_fn(|cx| sink.poll_flush_unpin(cx)).await
    } else {
        std::future::pending().await
    }
}

/// Reads a frame; `None` for what is none of ours.
fn read(message: Option<Result<Message, Error>>) -> Result<Option<ToGateway>, Left> {
    let text: Bytes = match message {
        Some(Ok(Message::Text(text))) => text.into(),
        Some(Ok(Message::Close(close))) => {
            let why = close.map_or_else(String::new, |close| format!(": {close}"));
            return Err(Left::Lost(format!("the engine closed the connection{why}")));
        }
        Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
            return Ok(None);
        }
        Some(Err(error)) => return Err(lost(&error)),
        None => return Err(Left::Lost("the connection ended".to_owned())),
    };
    match ToGateway::parse(&text) {
        Ok(frame) => Ok(Some(frame)),
        Err(error) => {
            // A newer engine may have more to say than this client understands.
            warn!("passed over a frame of the engine: {error}");
            Ok(None)
        }
    }
}

/// Acts on a frame within a session.
fn take(task: &mut Task, frame: ToGateway) -> Result<(), Left> {
    match frame {
        ToGateway::Ack { id, position } => {
            task.unacked.settle(&id, Ok(position));
        }
        ToGateway::Nack {
            id: Some(id),
            code,
            message,
        } => {
            let refused = EventError::Refused {
                code: code.clone(),
                message: message.clone(),
            };
            if !task.unacked.settle(&id, Err(refused)) {
                warn!("the engine refused the frame {id} with {code}: {message}");
            }
        }
        ToGateway::Nack {
            id: None,
            code,
            message,
        } => warn!("the engine refused a frame with {code}: {message}"),
        ToGateway::Command(command) => task.commands.take(command),
        ToGateway::Bye(reason) => return Err(left_by(reason)),
        ToGateway::Welcome { .. } | ToGateway::Pong => {}
    }
    Ok(())
}

fn left_by(reason: ByeReason) -> Left {
    match reason {
        ByeReason::Replaced => Left::Ended(Ended::Replaced),
        ByeReason::Revoked => Left::Ended(Ended::Revoked),
        ByeReason::Shutdown | ByeReason::Idle => Left::Asked,
    }
}

fn lost(error: &Error) -> Left {
    Left::Lost(error.to_string())
}
