//! What the caller holds of a gateway.
//!
//! Talks to the task that owns the connection; does nothing by itself.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use domain::{
    device::{
        DeviceEvent, Report,
        frame::{FRAME_BYTES_MAX, FromGateway},
    },
    fence::Fence,
    position::Position,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::{
    builder::Settings,
    commands::{Commands, Handler},
    credentials::{Credentials, CredentialsError, Keeper},
    ended::{Ended, EventError, Status},
    reports::Reports,
    task::Task,
    unacked::{Answer, Outgoing},
};

/// The session of one device, kept alive by a task of its own. Clones are handles of the same session.
#[derive(Clone, Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    events: mpsc::Sender<Outgoing>,
    reports: Arc<Said>,
    status: watch::Receiver<Status>,
    stop: watch::Sender<bool>,
    keeper: Keeper,
}

/// What was said about the device's state, for the task to pass on.
#[derive(Debug, Default)]
pub(crate) struct Said {
    reports: Mutex<Reports>,
    pub(crate) news: Notify,
}

/// The answer to an event that is on its way: a future.
///
/// It may be dropped: the event is sent all the same.
#[derive(Debug)]
pub struct Receipt {
    answer: oneshot::Receiver<Answer>,
}

impl Gateway {
    pub(crate) fn start(settings: Settings, handler: Handler) -> Gateway {
        let settings = Arc::new(settings);
        let (events, incoming) = mpsc::channel(1);
        let (status_sender, status) = watch::channel(Status::Connecting);
        let (stop, stopped) = watch::channel(false);
        let reports = Arc::new(Said::default());
        let task = Task::new(
            Arc::clone(&settings),
            Commands::new(handler),
            incoming,
            Arc::clone(&reports),
            (status_sender, stopped),
        );
        drop(tokio::spawn(task.run()));
        Gateway {
            shared: Arc::new(Shared {
                events,
                reports,
                status: status.clone(),
                stop,
                keeper: Keeper::new(settings, status),
            }),
        }
    }

    /// Sends an event and waits until it is durable: answers its position in the tenant's log.
    ///
    /// Waits as long as it takes, over reconnects too. An event without an id gets one. It may be dropped: the event may
    /// be sent or not then.
    pub async fn event(&self, event: DeviceEvent) -> Result<Position, EventError> {
        self.send(event).await?.await
    }

    /// Puts an event on its way and answers a future of its position. Waits while too many are unanswered.
    ///
    /// Events are sent in the order in which `send` answered, so that a caller can have several on their way and keep
    /// their order.
    pub async fn send(&self, mut event: DeviceEvent) -> Result<Receipt, EventError> {
        if event.id.is_empty() {
            event.id = Uuid::now_v7().simple().to_string().into();
        }
        check(&event)?;
        let id = event.id.clone();
        let text = FromGateway::Event(event).write();
        if text.len() > FRAME_BYTES_MAX {
            return Err(EventError::Refused {
                code: "payload_too_large".into(),
                message: format!("expected a frame of at most {FRAME_BYTES_MAX} bytes"),
            });
        }
        let (reply, answer) = oneshot::channel();
        let outgoing = Outgoing {
            id,
            text: text.into(),
            reply,
        };
        match self.shared.events.send(outgoing).await {
            Ok(()) => Ok(Receipt { answer }),
            Err(_the_task_is_gone) => Err(self.ended().await.into()),
        }
    }

    /// Tells the engine where the device stands. Said again in every session, until something else is said.
    pub fn report(&self, report: Report) {
        self.shared.reports.lock(|reports| reports.push(report));
        self.shared.reports.news.notify_one();
    }

    /// How the gateway stands now.
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// Follows how the gateway stands.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.shared.status.clone()
    }

    /// Waits until the session is open.
    pub async fn opened(&self) -> Result<Fence, Ended> {
        let mut status = self.watch();
        loop {
            match &*status.borrow_and_update() {
                Status::Open { fence } => return Ok(*fence),
                Status::Ended(ended) => return Err(ended.clone()),
                Status::Connecting => {}
            }
            if status.changed().await.is_err() {
                return Err(Ended::Closed);
            }
        }
    }

    /// Waits until the gateway is over for good.
    pub async fn ended(&self) -> Ended {
        let mut status = self.watch();
        loop {
            if let Status::Ended(ended) = &*status.borrow_and_update() {
                return ended.clone();
            }
            if status.changed().await.is_err() {
                return Ended::Closed;
            }
        }
    }

    /// Ends the session with a goodbye. What is unanswered is given up: wait for it before, if it matters.
    pub async fn close(&self) {
        self.shared.stop.send_replace(true);
        self.ended().await;
    }

    /// Fetches what the connector keeps with the engine for this device.
    pub async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        self.shared.keeper.get().await
    }

    /// Keeps bytes (at most 1 MiB) with the engine for this device, encrypted there.
    ///
    /// Only the session that is open may: a gateway whose session was taken is refused, so that it cannot spoil what the
    /// next one wrote. Waits while the gateway is connecting.
    pub async fn put_credentials(&self, bytes: bytes::Bytes) -> Result<(), CredentialsError> {
        self.shared.keeper.put(bytes).await
    }
}

/// Finds what the engine would refuse anyway, and what it could not even read.
fn check(event: &DeviceEvent) -> Result<(), EventError> {
    event.check().map_err(|refusal| EventError::Refused {
        code: refusal.code.into(),
        message: refusal.message,
    })?;
    serde_json::from_slice::<serde::de::IgnoredAny>(&event.data).map_err(|error| {
        EventError::Refused {
            code: "malformed_json".into(),
            message: format!("data: expected one JSON value: {error}"),
        }
    })?;
    Ok(())
}

impl Said {
    pub(crate) fn lock<T>(&self, act: impl FnOnce(&mut Reports) -> T) -> T {
        act(&mut self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Future for Receipt {
    type Output = Result<Position, EventError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(answer.unwrap_or_else(|_the_task_is_gone| Err(Ended::Closed.into())))
    }
}
