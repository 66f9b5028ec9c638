//! What is on its way in either direction: how much there may be, and which packet ids it has.
//!
//! Pure: decides, sends nothing.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    num::NonZeroU16,
};

use domain::{device::Command, time::Timestamp};
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;

use super::ending::Ending;

/// Commands that wait until a device asks for them or has room.
const COMMANDS_MAX: usize = 256;
/// Commands that a device may have without having said that it has them.
const UNACKNOWLEDGED_MAX: u16 = 32;

/// What comes from a device.
#[derive(Debug)]
pub(super) struct Arriving {
    max: usize,
    at_least_once: usize,
    exactly_once: HashMap<NonZeroU16, Stage>,
}

/// Where a publish of QoS 2 stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is not durable yet.
    Storing,
    /// The device was told that it is.
    Received,
}

/// What to do with a publish of QoS 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// It is new.
    New,
    /// It came before and is on its way: it is answered when it is durable.
    OnItsWay,
    /// It came before and is durable: say so again.
    Durable,
}

/// What goes to a device: commands.
#[derive(Debug)]
pub(super) struct Leaving {
    waiting: VecDeque<Command>,
    unacknowledged: HashSet<NonZeroU16>,
    max: usize,
    last: u16,
}

impl Arriving {
    /// Nothing yet, and never more than this without an answer.
    pub(super) fn new(max: u16) -> Arriving {
        Arriving {
            max: usize::from(max),
            at_least_once: 0,
            exactly_once: HashMap::new(),
        }
    }

    /// A publish of QoS 1 came.
    pub(super) fn at_least_once(&mut self) -> Result<(), Ending> {
        self.room()?;
        self.at_least_once += 1;
        Ok(())
    }

    /// A publish of QoS 1 is answered.
    pub(super) fn acknowledged(&mut self) {
        self.at_least_once = self.at_least_once.saturating_sub(1);
    }

    /// A publish of QoS 2 came.
    pub(super) fn exactly_once(&mut self, id: NonZeroU16) -> Result<Arrived, Ending> {
        match self.exactly_once.get(&id) {
            Some(Stage::Storing) => Ok(Arrived::OnItsWay),
            Some(Stage::Received) => Ok(Arrived::Durable),
            None => {
                self.room()?;
                self.exactly_once.insert(id, Stage::Storing);
                Ok(Arrived::New)
            }
        }
    }

    /// A publish of QoS 2 is durable.
    pub(super) fn received(&mut self, id: NonZeroU16) {
        self.exactly_once.insert(id, Stage::Received);
    }

    /// A publish of QoS 2 was refused.
    pub(super) fn refused(&mut self, id: NonZeroU16) {
        self.exactly_once.remove(&id);
    }

    /// The device will not send a publish of QoS 2 again. Says whether there was one that it had been told about.
    pub(super) fn released(&mut self, id: NonZeroU16) -> bool {
        match self.exactly_once.entry(id) {
            Entry::Occupied(entry) if *entry.get() == Stage::Received => {
                entry.remove();
                true
            }
            Entry::Occupied(_) | Entry::Vacant(_) => false,
        }
    }

    fn room(&self) -> Result<(), Ending> {
        if self.at_least_once + self.exactly_once.len() < self.max {
            return Ok(());
        }
        let text = format!("{} publishes may be without an answer", self.max);
        let code = DisconnectReasonCode::ReceiveMaximumExceeded;
        Err(Ending::new(code, text))
    }
}

impl Leaving {
    /// Nothing yet. `receive_max` is what the device takes at once.
    pub(super) fn new(receive_max: u16) -> Leaving {
        Leaving {
            waiting: VecDeque::new(),
            unacknowledged: HashSet::new(),
            max: usize::from(receive_max.min(UNACKNOWLEDGED_MAX)),
            last: 0,
        }
    }

    /// Takes a command. If more wait than may, says which one nobody will see.
    pub(super) fn push(&mut self, command: Command, now: Timestamp) -> Option<Command> {
        self.waiting.retain(|waiting| waiting.deadline > now);
        let lost = (self.waiting.len() >= COMMANDS_MAX).then(|| self.waiting.pop_front());
        self.waiting.push_back(command);
        lost.flatten()
    }

    /// The next command that somebody still waits for, and the id to send it with; `None` if the device has to say first
    /// what it has. Without `acknowledges` no id is needed.
    pub(super) fn next(
        &mut self,
        acknowledges: bool,
        now: Timestamp,
    ) -> Option<(Command, Option<NonZeroU16>)> {
        self.waiting.retain(|waiting| waiting.deadline > now);
        if !acknowledges {
            return self.waiting.pop_front().map(|command| (command, None));
        }
        if self.unacknowledged.len() >= self.max {
            return None;
        }
        let command = self.waiting.pop_front()?;
        let id = self.free_id();
        self.unacknowledged.insert(id);
        Some((command, Some(id)))
    }

    /// The device has what was sent with this id. Says whether something was.
    pub(super) fn acknowledged(&mut self, id: NonZeroU16) -> bool {
        self.unacknowledged.remove(&id)
    }

    /// There are far fewer ids in use than ids.
    fn free_id(&mut self) -> NonZeroU16 {
        loop {
            self.last = self.last.wrapping_add(1);
            if let Some(id) = NonZeroU16::new(self.last)
                && !self.unacknowledged.contains(&id)
            {
                return id;
            }
        }
    }
}
