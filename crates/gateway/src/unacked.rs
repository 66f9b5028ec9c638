//! Events that the engine has not answered yet, in their order.
//!
//! Pure. Those that were sent are always the first ones; after a reconnect all of them are unsent again.

use std::collections::VecDeque;

use domain::position::Position;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::ended::{Ended, EventError};

pub(crate) type Answer = Result<Position, EventError>;

/// One event on its way.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Names it for its ack.
    pub(crate) id: Box<str>,
    /// The frame.
    pub(crate) text: Utf8Bytes,
    /// Where the answer goes.
    pub(crate) reply: oneshot::Sender<Answer>,
}

#[derive(Debug)]
pub(crate) struct Unacked {
    events: VecDeque<Outgoing>,
    /// How many of the first ones were sent in this session.
    sent: usize,
    bytes: usize,
    events_max: usize,
    bytes_max: usize,
}

impl Unacked {
    pub(crate) fn new(events_max: usize, bytes_max: usize) -> Unacked {
        Unacked {
            events: VecDeque::new(),
            sent: 0,
            bytes: 0,
            events_max,
            bytes_max,
        }
    }

    /// Whether one more may come. One may always, however large.
    pub(crate) fn has_room(&self) -> bool {
        self.events.is_empty()
            || (self.events.len() < self.events_max && self.bytes < self.bytes_max)
    }

    pub(crate) fn push(&mut self, event: Outgoing) {
        self.bytes += event.text.len();
        self.events.push_back(event);
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.sent < self.events.len()
    }

    /// The next frame to send; it counts as sent from now on.
    pub(crate) fn next_unsent(&mut self) -> Option<Utf8Bytes> {
        let text = self.events.get(self.sent)?.text.clone();
        self.sent += 1;
        Some(text)
    }

    /// Hands the engine's answer to whoever waits for it. Says whether there was such an event.
    pub(crate) fn settle(&mut self, id: &str, answer: Answer) -> bool {
        let found = self
            .events
            .iter()
            .take(self.sent)
            .position(|event| &*event.id == id);
        let Some(event) = found.and_then(|place| self.events.remove(place)) else {
            return false;
        };
        self.sent -= 1;
        self.bytes -= event.text.len();
        // Nobody waits any more if the caller dropped the receipt.
        drop(event.reply.send(answer));
        true
    }

    /// A session begins: nothing of it was sent in it.
    pub(crate) fn begin(&mut self) {
        self.sent = 0;
    }

    /// Tells everybody that there will be no answer.
    pub(crate) fn end(&mut self, why: &Ended) {
        for event in self.events.drain(..) {
            drop(event.reply.send(Err(why.clone().into())));
        }
        self.sent = 0;
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(id: &str) -> (Outgoing, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let outgoing = Outgoing {
            id: id.into(),
            text: format!("frame {id}").into(),
            reply,
        };
        (outgoing, answer)
    }

    #[test]
    fn what_was_not_answered_is_sent_again_in_its_order() {
        let mut unacked = Unacked::new(10, 1_000);
        let mut answers: Vec<_> = ["a", "b", "c"]
            .map(|id| {
                let (event, answer) = outgoing(id);
                unacked.push(event);
                answer
            })
            .into();
        assert_eq!(unacked.next_unsent().as_deref(), Some("frame a"));
        assert_eq!(unacked.next_unsent().as_deref(), Some("frame b"));
        assert!(!unacked.settle("c", Ok(Position::new(9))), "not sent yet");
        assert!(unacked.settle("b", Ok(Position::new(1))));
        assert_eq!(answers.remove(1).try_recv(), Ok(Ok(Position::new(1))));
        unacked.begin();
        assert_eq!(unacked.next_unsent().as_deref(), Some("frame a"));
        assert_eq!(unacked.next_unsent().as_deref(), Some("frame c"));
        assert_eq!(unacked.next_unsent(), None);
    }

    #[test]
    fn there_is_room_for_so_many_events_or_bytes_and_always_for_one() {
        let mut unacked = Unacked::new(2, 10);
        assert!(unacked.has_room());
        unacked.push(outgoing("a").0);
        assert!(unacked.has_room());
        unacked.push(outgoing("b").0);
        assert!(!unacked.has_room());
        assert!(unacked.next_unsent().is_some());
        assert!(unacked.settle("a", Ok(Position::new(1))));
        assert!(unacked.has_room());
        let mut narrow = Unacked::new(10, 1);
        narrow.push(outgoing("a").0);
        assert!(!narrow.has_room());
    }
}
