//! Which topics a device has, and what an alias of one stands for.

use std::collections::HashMap;

use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;

use super::{ending::Ending, packet::Publish};

/// Topics that one device may give an alias.
pub(super) const TOPIC_ALIAS_MAX: u16 = 16;
/// Where a device is told what to do.
pub(super) const COMMANDS: &str = "commands";
/// Where it says what became of that.
const RESULTS: &str = "results";
/// What the topics of its events begin with; then comes the event's type.
const EVENTS: &str = "events/";

/// A topic that a device may publish to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic<'a> {
    /// An event of this type.
    Event(&'a str),
    /// What became of a command.
    Results,
}

/// The aliases that a device has given.
#[derive(Debug, Default)]
pub(super) struct Aliases(HashMap<u16, Box<str>>);

impl<'a> Topic<'a> {
    /// The topic with this name, if a device may publish to it.
    pub(super) fn named(name: &'a str) -> Option<Topic<'a>> {
        if name == RESULTS {
            return Some(Topic::Results);
        }
        name.strip_prefix(EVENTS).map(Topic::Event)
    }
}

impl Aliases {
    /// Where something is published: what it says, or what its alias stands for.
    pub(super) fn resolve(&mut self, publish: &Publish) -> Result<Box<str>, Ending> {
        let alias = publish.alias();
        if let Some(alias) = alias
            && alias > TOPIC_ALIAS_MAX
        {
            let text = format!("a topic alias is at most {TOPIC_ALIAS_MAX}");
            return Err(Ending::new(DisconnectReasonCode::TopicAliasInvalid, text));
        }
        match (alias, publish.topic.is_empty()) {
            (None, false) => Ok(publish.topic.clone()),
            (Some(alias), false) => {
                self.0.insert(alias, publish.topic.clone());
                Ok(publish.topic.clone())
            }
            (Some(alias), true) => self.0.get(&alias).cloned().ok_or_else(|| {
                let text = "the topic alias stands for nothing yet";
                Ending::new(DisconnectReasonCode::TopicAliasInvalid, text)
            }),
            (None, true) => Err(Ending::protocol(
                "a publish has a topic, or an alias of one",
            )),
        }
    }
}
