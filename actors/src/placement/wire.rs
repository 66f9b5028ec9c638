//! What nodes tell each other besides what stands in the stores: news that may be lost.
//!
//! A trait, so that tests can lose messages on purpose. Whatever is said here can also be found out from the stores.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use outbound::bus::{Bus, Connection, Topic};

/// Carries news between nodes, as well as it can.
pub trait Wire: Send + Sync + 'static {
    /// Tells everybody who listens. Never waits; may lose it.
    fn publish(&self, topic: &Topic, body: Bytes);
    /// What others tell from now on. Ends when it is dropped.
    fn subscribe(&self, topic: &Topic) -> BoxStream<'static, Bytes>;
    /// The number of the connection that there is; `None` while news cannot come. With another number news may have been
    /// lost meanwhile.
    fn connection(&self) -> Option<u64>;
}

impl Wire for Bus {
    fn publish(&self, topic: &Topic, body: Bytes) {
        Bus::publish(self, topic, body);
    }

    fn subscribe(&self, topic: &Topic) -> BoxStream<'static, Bytes> {
        Bus::subscribe(self, topic).boxed()
    }

    fn connection(&self) -> Option<u64> {
        match *self.connections().borrow() {
            Connection::Away => None,
            Connection::Up(number) => Some(number),
        }
    }
}
