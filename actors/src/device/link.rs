//! The way from a device's actor to its connection: commands, and at most one goodbye.
//!
//! Bounded: a connection that does not take its commands gets no more of them. A goodbye overtakes them. Knows nothing of
//! what a connection is.

use domain::device::{ByeReason, Command};
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait for one connection: as many as may wait for their results, so that all of them go again at once
/// when a gateway comes back.
pub(super) const WAITING_MAX: usize = 256;

/// What an actor has of a connection. Dropping it without a goodbye tells the connection that the actor is no more.
#[derive(Debug)]
pub struct Link {
    commands: mpsc::Sender<Command>,
    bye: oneshot::Sender<ByeReason>,
}

/// Tells whether a connection is still there, and is no way to it.
#[derive(Clone, Debug)]
pub(super) struct Watch(mpsc::Sender<Command>);

/// What a connection has of its device's actor. Dropping it says that the connection is lost.
#[derive(Debug)]
pub struct LinkReceiver {
    commands: mpsc::Receiver<Command>,
    /// `None` when the end was told.
    bye: Option<oneshot::Receiver<ByeReason>>,
}

/// What a device is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToDevice {
    /// To do something.
    Command(Command),
    /// That the session has ended. Nothing comes after it.
    Bye(ByeReason),
}

/// Why a command did not go on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotSent {
    /// Too many wait already.
    Full,
    /// There is no connection any more.
    Gone,
}

/// Both ends of a way.
pub fn link() -> (Link, LinkReceiver) {
    let (commands, taken) = mpsc::channel(WAITING_MAX);
    let (bye, told) = oneshot::channel();
    let link = Link { commands, bye };
    let receiver = LinkReceiver {
        commands: taken,
        bye: Some(told),
    };
    (link, receiver)
}

impl Link {
    /// Sends a command, if there is room for it.
    pub(super) fn send(&self, command: Command) -> Result<(), NotSent> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => NotSent::Full,
                mpsc::error::TrySendError::Closed(_) => NotSent::Gone,
            })
    }

    /// Says goodbye. A connection that is gone does not hear it.
    pub(super) fn bye(self, reason: ByeReason) {
        self.bye.send(reason).ok();
    }

    /// Whether the connection is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.commands.is_closed()
    }

    /// Tells the same later, when this way is in other hands.
    pub(super) fn watch(&self) -> Watch {
        Watch(self.commands.clone())
    }

    /// Ends when the connection is gone.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + 'static {
        let commands = self.commands.clone();
        async move { commands.closed().await }
    }
}

impl Watch {
    /// Whether the connection is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

impl LinkReceiver {
    /// What comes next; `None` after a goodbye, and when the actor is no more: then the connection is to be closed without
    /// one, so that the gateway connects again. May be dropped and asked again without loss.
    pub async fn recv(&mut self) -> Option<ToDevice> {
        let bye = self.bye.as_mut()?;
        tokio::select! {
            biased;
            told = bye => {
                self.bye = None;
                told.ok().map(ToDevice::Bye)
            }
            Some(command) = self.commands.recv() => Some(ToDevice::Command(command)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::{device::CommandName, time::Timestamp};

    use super::*;

    fn command(id: &str) -> Command {
        Command {
            id: id.into(),
            name: CommandName::GroupInfo,
            args: Bytes::from_static(b"{}"),
            deadline: Timestamp::from_micros(0),
        }
    }

    #[actix::test]
    async fn commands_come_in_order_until_a_goodbye_overtakes_them() {
        let (link, mut receiver) = link();
        link.send(command("a")).unwrap();
        link.send(command("b")).unwrap();
        assert_eq!(receiver.recv().await, Some(ToDevice::Command(command("a"))));
        link.bye(ByeReason::Shutdown);
        assert_eq!(
            receiver.recv().await,
            Some(ToDevice::Bye(ByeReason::Shutdown))
        );
        assert_eq!(receiver.recv().await, None);
    }

    #[actix::test]
    async fn an_actor_that_dies_says_nothing() {
        let (link, mut receiver) = link();
        drop(link);
        assert_eq!(receiver.recv().await, None);
    }

    #[actix::test]
    async fn a_connection_that_takes_nothing_gets_no_more() {
        let (link, receiver) = link();
        for _ in 0..WAITING_MAX {
            link.send(command("a")).unwrap();
        }
        assert_eq!(link.send(command("b")), Err(NotSent::Full));
        let watch = link.watch();
        assert!(!link.is_gone() && !watch.is_gone());
        drop(receiver);
        link.gone().await;
        assert!(link.is_gone() && watch.is_gone());
        assert_eq!(link.send(command("b")), Err(NotSent::Gone));
    }
}
