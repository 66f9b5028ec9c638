//! What nodes ask each other about devices: events for a tenant's owner, and commands for the node where a device's session is.
//!
//! Only the words and how they are sent. Whatever is asked is decided where it is carried out: a request that comes to the
//! wrong node is answered with that, and one of another version is not carried out. Everything has a limit.

mod wire;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use outbound::bus::{Bus, BusError, Handler, Serving};
use store::control::SessionId;

pub(crate) use wire::{Answer, Ask, Failure, read_ask, write_answer};

/// Requests of other nodes about devices that are worked on at once.
pub(crate) const IN_FLIGHT_MAX: usize = 4_096;

/// Brings questions about devices to the node of a session, and its answers back.
pub trait Peers: Send + Sync + 'static {
    /// Asks. See [`Bus::request`].
    fn ask(
        &self,
        session: SessionId,
        body: Bytes,
        within: Duration,
    ) -> BoxFuture<'_, Result<Bytes, BusError>>;

    /// Answers under a session until what it returns is dropped. See [`Bus::serve`].
    fn serve(
        &self,
        session: SessionId,
        handler: Handler,
    ) -> BoxFuture<'_, Result<Box<dyn Answering>, BusError>>;
}

/// A node that answers; it takes no more questions when this is dropped.
pub trait Answering: Send + Sync + 'static {}

impl Answering for Serving {}

impl Peers for Bus {
    fn ask(
        &self,
        session: SessionId,
        body: Bytes,
        within: Duration,
    ) -> BoxFuture<'_, Result<Bytes, BusError>> {
        async move { self.request(&name(session), body, within).await }.boxed()
    }

    fn serve(
        &self,
        session: SessionId,
        handler: Handler,
    ) -> BoxFuture<'_, Result<Box<dyn Answering>, BusError>> {
        async move {
            let serving = Bus::serve(self, &name(session), IN_FLIGHT_MAX, handler).await?;
            Ok(Box::new(serving) as Box<dyn Answering>)
        }
        .boxed()
    }
}

/// The name under which a node answers questions about devices.
fn name(session: SessionId) -> String {
    format!("{session}_devices")
}

/// Asks another node.
pub(crate) async fn ask(
    peers: Option<&Arc<dyn Peers>>,
    session: SessionId,
    what: &Ask,
    within: Duration,
) -> Result<Answer, BusError> {
    let peers = peers.ok_or(BusError::Disconnected)?;
    let body = peers.ask(session, wire::write_ask(what), within).await?;
    wire::read_answer(&body).ok_or(BusError::Refused)
}
